"""Bridges the one difference between AWS's permissions for SQS and the emulator's.

AWS covers ``SendMessageBatch`` by the action ``sqs:SendMessage`` and has no action of the batch's own name;
the emulator asks for ``sqs:SendMessageBatch``. So wherever a role of the template may send, it may send
batches.
"""

import json
from collections.abc import Iterable
from typing import Any

_ONE = "sqs:SendMessage"
_BATCH = "sqs:SendMessageBatch"


def allow_batches(iam: Any, roles: Iterable[str]) -> None:
    """Add the emulator's action to every inline statement of the roles that allows sending one message."""
    for role in roles:
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            sending = [row for row in document["Statement"] if _ONE in row["Action"]]
            for statement in sending:
                statement["Action"] = [*statement["Action"], _BATCH]
            if sending:
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
