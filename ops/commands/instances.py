"""``ops instances``: instances and their keys."""

import json
from typing import Annotated

import typer

from ops.customers import add_instance
from ops.deployment import Deployment
from ops.options import AsJson, CustomerId, Stack, console

app = typer.Typer(no_args_is_help=True, help="Instances and their keys.")


@app.callback()
def instances_group() -> None:
    """Instances and their keys."""


@app.command("add")
def add(
    customer_id: CustomerId,
    instance_id: Annotated[str, typer.Argument(metavar="INSTANCE")] = "default",
    *,
    stack: Stack,
    as_json: AsJson = False,
) -> None:
    """Add an instance and print its key, once."""
    key = add_instance(Deployment(stack).customers, customer_id, instance_id)
    if as_json:
        print(json.dumps({"customer_id": customer_id, "instance_id": instance_id, "key": key}))
        return
    console.print(f"instance {instance_id} of {customer_id}; its key is shown this once:")
    print(key)
