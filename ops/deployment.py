"""The deployed stack that the operator works on, found through its outputs and resources."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

from metering.aws.clients import Clients
from metering.core.accounts import Account
from metering.tables.shards import SHARDS
from metering.tables.tables import TABLES, Tables
from ops.errors import OperatorError

ALIAS = "live"
"""What callers of a function call: its newest published version."""

_LONGEST_INVOCATION = 900
"""Seconds; no Lambda function runs longer."""


@dataclass(frozen=True)
class Deployment:
    """One stage's stack, by its CloudFormation name; credentials and region are boto3's own."""

    stack: str

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs.

        Raises
        ------
        OperatorError
            When the stack cannot be found or read.
        """
        try:
            stacks = self._clients("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise OperatorError(
                f"cannot read the stack {self.stack!r}: {error}; check --stack, AWS profile and region"
            ) from None
        return {row["OutputKey"]: row["OutputValue"] for row in stacks[0].get("Outputs", [])}

    @cached_property
    def tables(self) -> Tables:
        """The stack's tables; their names are outputs: ``CustomersTable``."""
        names = {f"{name}_table": self.outputs.get(f"{name.title()}Table", "") for name in TABLES}
        return Tables(self._clients("dynamodb"), names)

    def account(self, customer_id: str) -> Account:
        """Return all of a customer's records.

        Raises
        ------
        OperatorError
            When there is no such customer.
        """
        account = self.tables.customers.account(customer_id)
        if account is None:
            raise OperatorError(f"no customer {customer_id}; see `ops customers list`")
        return account

    def fleet(self) -> Iterator[str]:
        """The ids of all customers, shard by shard."""
        for shard in range(SHARDS):
            yield from self.tables.customers.fleet(shard)

    def secret(self, output: str) -> str:
        """Return the text of the secret that an output names."""
        client = self._clients("secretsmanager")
        return str(client.get_secret_value(SecretId=self.outputs[output])["SecretString"])

    def queued(self, queue: str) -> int:
        """Return about how many messages lie in a queue, given by its name in the template."""
        answer = self._clients("sqs").get_queue_attributes(
            QueueUrl=self._physical_id(queue), AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def counted(self, metric: str, service: str, since: datetime, until: datetime) -> int:
        """Return how often a function counted an operational event in a span of whole minutes."""
        statistics = self._clients("cloudwatch").get_metric_statistics(
            Namespace=self.outputs["MetricsNamespace"],
            MetricName=metric,
            Dimensions=[{"Name": "service", "Value": service}],
            StartTime=since,
            EndTime=until,
            Period=round((until - since).total_seconds()),
            Statistics=["Sum"],
        )
        return sum(int(point["Sum"]) for point in statistics["Datapoints"])

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function, given by its name in the template, and return its answer.

        Raises
        ------
        OperatorError
            When the function failed; the text is what it said.
        """
        # Never twice by itself: the operator sees what happened and decides.
        config = Config(read_timeout=_LONGEST_INVOCATION, retries={"total_max_attempts": 1})
        answer = boto3.client("lambda", config=config).invoke(
            FunctionName=self._physical_id(function), Qualifier=ALIAS, Payload=json.dumps(event).encode()
        )
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise OperatorError(f"{function}: {payload.get('errorMessage', answer['FunctionError'])}")
        return payload

    def operator(self) -> str:
        """Return who works on the stack: the ARN of the AWS identity behind the credentials."""
        return str(self._clients("sts").get_caller_identity()["Arn"])

    @cached_property
    def _clients(self) -> Clients:
        return Clients()

    def _physical_id(self, logical_id: str) -> str:
        answer = self._clients("cloudformation").describe_stack_resource(
            StackName=self.stack, LogicalResourceId=logical_id
        )
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])
