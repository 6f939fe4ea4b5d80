"""The arguments and options that commands share, and how they are checked.

typer reads each option from a parameter of its own, so that what always travels together is a type here and
becomes one object, where a command hands it on.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated

import typer
from pydantic import ValidationError

from metering.core.catalog import CatalogError, Override, parse_override
from metering.core.contract import ID_PATTERN
from ops.deployment import Deployment
from ops.errors import WrongInputError

_LONGEST_ADDRESS = 254
_LONGEST_LOCAL_PART = 64


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
Reason = Annotated[str, typer.Option(help="Why; it is kept, and shown with who and when.")]
PeriodStart = Annotated[
    str, typer.Option(help="The start of a period, or its day; the present period unless given.")
]
InstanceId = Annotated[str, typer.Argument(metavar="INSTANCE", callback=_id)]
OverrideJson = Annotated[
    str,
    typer.Option(
        help='The customer\'s own fee and prices: {"base_fee": "500", "meters": '
        '{"devices": {"included": "100", "overage": "1.50"}}}.'
    ),
]
StripeCustomer = Annotated[str, typer.Option(help="An existing Stripe customer (cus_...) to attach to.")]
StripeSubscription = Annotated[
    str, typer.Option(help="An existing subscription (sub_...) with the plan's prices to attach to.")
]
DaysUntilDue = Annotated[
    int, typer.Option(min=0, max=365, help="Days to pay an invoice of a new subscription.")
]
Automatically = Annotated[
    bool,
    typer.Option(
        "--charge-automatically",
        help="Charge the Stripe customer's payment method instead of sending invoices; it must have one.",
    ),
]


def check_period(period: str, customer_id: str | None) -> None:
    """Refuse a period without its customer.

    Raises
    ------
    WrongInputError
        When a period is given and no customer.
    """
    if period and customer_id is None:
        raise WrongInputError("--period needs a CUSTOMER: periods differ from one to the next")


def read_name(text: str) -> str:
    """Read the ``--name`` option, without the blanks around it.

    Raises
    ------
    WrongInputError
        When it is empty, or has a line break or another control character.
    """
    if not text.strip():
        raise WrongInputError("--name must not be empty: invoices show it")
    if any(unicodedata.category(character) == "Cc" for character in text.strip()):
        raise WrongInputError("--name must be one line, without control characters: invoices show it")
    return text.strip()


def read_email(text: str) -> str | None:
    """Read the ``--email`` option; "" is none.

    Only what cannot be an address is refused, since whether one is read a mail tells alone: the lengths are
    those that mail servers take (RFC 5321).

    Raises
    ------
    WrongInputError
        When it has not one @, has blanks, no domain, or is too long.
    """
    if not text:
        return None
    name, _, domain = text.rpartition("@")
    labels = domain.split(".")
    address = (
        len(text) <= _LONGEST_ADDRESS
        and 0 < len(name) <= _LONGEST_LOCAL_PART
        and not any(
            character.isspace() or character in '@<>,;"' or not character.isprintable() for character in name
        )
        and len(labels) > 1
        and all(label and label.replace("-", "x").isalnum() for label in labels)
    )
    if not address:
        raise WrongInputError(f"--email must be one address such as pay@eight.example, not {text!r:.80}")
    return text


def chosen_customers(deployment: Deployment, customer_id: str | None) -> list[str]:
    """Return the customers that a command is about: one, or all unless one is given."""
    return [customer_id] if customer_id else [*deployment.fleet()]


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


def read_dollars(text: str, option: str) -> Decimal:
    """Read an amount of dollars, from 0.

    Raises
    ------
    WrongInputError
        When it is none.
    """
    amount = read_number(text, option)
    if amount < 0:
        raise WrongInputError(f"{option} must be a number from 0: {text!r}")
    return amount


def read_number(text: str, option: str) -> Decimal:
    """Read a number of digits, exact.

    Raises
    ------
    WrongInputError
        When it is none.
    """
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise WrongInputError(f"{option} must be a number: {text!r}") from None
    if not number.is_finite():
        raise WrongInputError(f"{option} must be a finite number: {text!r}")
    return number


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
