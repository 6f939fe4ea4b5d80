"""The arguments and options that commands share, how they are checked, and how commands print."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from metering.core.catalog import CatalogError, Override, parse_override
from metering.core.contract import ID_PATTERN
from ops.errors import WrongInputError

LOG_WIDTH = 140
"""Columns of a table in a file or a pipe, which has no width of its own; a terminal has."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
messages = Console(stderr=True, highlight=False)
"""What is not the answer: progress, warnings."""


def _id(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(ID_PATTERN, value):
        raise typer.BadParameter(f"{value!r} is no id: 1 to 40 letters, digits, - and _")
    return value


Stack = Annotated[str, typer.Option(envvar="ZEMFYRE_STACK", help="The CloudFormation stack of the stage.")]
ApiBase = Annotated[str, typer.Option(envvar="STRIPE_API_BASE", help="Another address of Stripe's API.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")]
CustomerId = Annotated[str, typer.Argument(metavar="CUSTOMER", callback=_id)]
OneCustomer = Annotated[
    str | None, typer.Argument(metavar="[CUSTOMER]", callback=_id, help="All customers unless given.")
]
InstanceId = Annotated[str, typer.Argument(metavar="INSTANCE", callback=_id)]
OverrideJson = Annotated[
    str,
    typer.Option(
        help='The customer\'s own fee and prices: {"base_fee": "500", "meters": '
        '{"devices": {"included": "100", "overage": "1.50"}}}.'
    ),
]


def read_override(text: str) -> Override:
    """Read the ``--override`` option.

    Raises
    ------
    WrongInputError
        When it is no JSON, or no override.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise WrongInputError(f"--override is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise WrongInputError("--override must be a JSON object")
    with wrong_input():
        return parse_override(value, "--override")


@contextmanager
def wrong_input(**options: str) -> Iterator[None]:
    """Turn what a catalogue or a record refuses into wrong input that names the option.

    Parameters
    ----------
    options
        The option of each field of the record, where the names differ.
    """
    try:
        yield
    except CatalogError as error:
        raise WrongInputError(str(error)) from None
    except ValidationError as error:
        rows = []
        for row in error.errors(include_url=False):
            field = str(row["loc"][0]) if row["loc"] else ""
            rows.append(f"{options.get(field, f'--{field.replace("_", "-")}')}: {row['msg']}")
        raise WrongInputError("; ".join(rows)) from None


def print_json(value: Any) -> None:
    """Print an answer for programs."""
    print(json.dumps(value, indent=2))


def print_rows(
    rows: Iterable[Sequence[Any]], columns: Sequence[str], *, as_json: bool, title: str | None = None
) -> None:
    """Print rows as a table, or as a JSON list of objects whose names are the columns'."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table)


def progress[T](sequence: Sequence[T], description: str) -> Iterable[T]:
    """Show a bar while a sequence is worked through, where a person watches."""
    return track(sequence, description, console=messages, disable=not messages.is_terminal, transient=True)
