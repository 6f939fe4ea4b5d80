"""The options that commands share, and how they print."""

from typing import Annotated

import typer
from rich.console import Console

Stack = Annotated[str, typer.Option(envvar="ZEMFYRE_STACK", help="The CloudFormation stack of the stage.")]
ApiBase = Annotated[str, typer.Option(envvar="STRIPE_API_BASE", help="Another address of Stripe's API.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
CustomerId = Annotated[str, typer.Argument(metavar="CUSTOMER")]

console = Console(highlight=False)
