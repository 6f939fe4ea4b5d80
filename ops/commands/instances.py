"""``ops instances``: instances and their keys."""

from typing import Annotated

import typer

from ops.deployment import Deployment
from ops.errors import WrongInputError
from ops.instances import add_instance, finish_rotation, revoke, rotate_key
from ops.terminal.options import AsJson, CustomerId, InstanceId, Stack
from ops.terminal.printing import console, messages, print_json, print_rows


def register(line: typer.Typer) -> None:
    """Put the commands into a command line."""
    example = (
        "Example: ops instances rotate-key cust_8f2c; give the instance the new key; "
        "ops instances rotate-key cust_8f2c --finish"
    )
    line.command("add", epilog="Example: ops instances add cust_8f2c default")(_add)
    line.command("rotate-key", epilog=example)(_rotate)
    line.command("revoke", epilog="Example: ops instances revoke cust_8f2c default")(_revoke)
    line.command("list", epilog="Example: ops instances list cust_8f2c")(_list)


def _add(
    customer_id: CustomerId, instance_id: InstanceId = "default", *, stack: Stack, as_json: AsJson = False
) -> None:
    """Add an instance, or give a revoked one a key anew, and print the key: this once."""
    key = add_instance(Deployment(stack).tables, customer_id, instance_id)
    _print_key(customer_id, instance_id, key, as_json=as_json)


def _rotate(
    customer_id: CustomerId,
    instance_id: InstanceId = "default",
    *,
    stack: Stack,
    finish: Annotated[bool, typer.Option("--finish", help="Drop the old key.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Replace the new key, which was lost; the old one stays good.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give an instance a second key and print it, this once; both are good until --finish."""
    if finish and again:
        raise WrongInputError("--finish and --again exclude each other")
    instances = Deployment(stack).tables.instances
    if not finish:
        key = rotate_key(instances, customer_id, instance_id, again=again)
        _print_key(customer_id, instance_id, key, as_json=as_json)
        return
    dropped = finish_rotation(instances, customer_id, instance_id)
    said = "the old key is dropped; it dies within 5 minutes" if dropped else "there is no old key"
    _print_change(customer_id, instance_id, said, changed=dropped, as_json=as_json)


def _revoke(
    customer_id: CustomerId, instance_id: InstanceId, *, stack: Stack, as_json: AsJson = False
) -> None:
    """Drop all keys of an instance; what it has reported stays."""
    changed = revoke(Deployment(stack).tables.instances, customer_id, instance_id)
    said = "its keys are dropped; they die within 5 minutes" if changed else "it has no key"
    _print_change(customer_id, instance_id, said, changed=changed, as_json=as_json)


def _list(customer_id: CustomerId, *, stack: Stack, as_json: AsJson = False) -> None:
    """List a customer's instances, and how many keys each has: 0 is revoked, 2 a rotation to be finished."""
    account = Deployment(stack).account(customer_id)
    rows = [
        (one.instance_id, len(one.digests), ("revoked", "active", "rotating")[len(one.digests)])
        for one in account.instances
    ]
    print_rows(rows, ("instance_id", "keys", "state"), as_json=as_json)


def _print_key(customer_id: str, instance_id: str, key: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"customer_id": customer_id, "instance_id": instance_id, "key": key})
        return
    messages.print(f"instance {instance_id} of {customer_id}; its key is shown this once:")
    print(key)


def _print_change(customer_id: str, instance_id: str, said: str, *, changed: bool, as_json: bool) -> None:
    if as_json:
        print_json({"customer_id": customer_id, "instance_id": instance_id, "changed": changed})
    else:
        console.print(f"instance {instance_id} of {customer_id}: {said}")
