"""Adjusting a meter's quantity of one period: written down for ever, then sent like any usage.

Source: docs/billing.md#adjustments.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from metering.core.accounts import Account, BillingPeriod
from metering.core.adjustments import Adjustment
from metering.core.audit import AuditEntry
from metering.core.catalog import Catalog
from metering.core.instants import HOUR, format_instant
from metering.core.periods import is_past_retention
from metering.tables.tables import Tables
from metering.tables.usage import period_usage
from ops.errors import OperatorError, WrongInputError


@dataclass(frozen=True)
class Wanted:
    """What an operator wants adjusted, why, who it is (an AWS identity) and when.

    ``hours`` are the first and the last one, both included; the whole period unless given.
    """

    meter: str
    quantity: Decimal
    hours: tuple[datetime, datetime] | None
    reason: str
    who: str
    at: datetime


@dataclass(frozen=True)
class Made:
    """An adjustment as it is stored, whether it is new, and what of it finds no usage now."""

    adjustment: Adjustment
    new: bool
    unapplied: Decimal


def adjust(
    account: Account, billing: BillingPeriod, wanted: Wanted, tables: Tables, catalog: Catalog
) -> Made:
    """Add an adjustment to a period unless the same is there, and mark its days to be sent.

    The audit entry comes first, then the adjustment, then the markers; asked for again, with the same words,
    it is found and only its days are marked again.

    Raises
    ------
    WrongInputError
        When there is no such meter, or the hours are not the period's.
    OperatorError
        When the period's hours have expired, or the period or the meter in it is not sold: no bill would
        change.
    pydantic.ValidationError
        When the quantity is none that can be told to Stripe.
    """
    customer_id = account.customer.customer_id
    if is_past_retention(billing.span, wanted.at):
        raise OperatorError(
            f"the period {format_instant(billing.start)} of {customer_id} has hours that have expired"
        )
    if wanted.meter not in catalog.meters:
        raise WrongInputError(f"--meter: no meter {wanted.meter!r}; there are {', '.join(catalog.meters)}")
    price = billing.terms(catalog).meters.get(wanted.meter)
    if not billing.sold or price is None or price.unlimited:
        raise OperatorError(
            f"the period {format_instant(billing.start)} of {customer_id} "
            f"{f'sells no {wanted.meter}, or without a price' if billing.sold else 'is not sold'}: there is "
            "nothing to adjust"
        )
    first, last = wanted.hours or (billing.span.first_hour, billing.span.end_hour - HOUR)
    if not (billing.span.has_hour(first) and billing.span.has_hour(last)):
        bounds = f"{format_instant(billing.span.first_hour)}..{format_instant(billing.span.end_hour - HOUR)}"
        raise WrongInputError(f"--hours must lie within the period: {bounds}")
    values: dict[str, Any] = {
        "customer_id": customer_id,
        "period_start": billing.start,
        "meter": wanted.meter,
        "quantity": wanted.quantity,
        "first_hour": first,
        "last_hour": last,
        "reason": wanted.reason,
        "who": wanted.who,
        "at": wanted.at,
    }
    stored, new = _stored(customer_id, billing, values, tables)
    for day in stored.days():
        if day <= wanted.at.date():
            tables.markers.touch_unsent(customer_id, day)
    unapplied = period_usage(tables, customer_id, billing, catalog).unapplied
    return Made(stored, new, unapplied.get(stored.number, Decimal(0)))


def _stored(
    customer_id: str, billing: BillingPeriod, values: dict[str, Any], tables: Tables
) -> tuple[Adjustment, bool]:
    """Return the adjustment as stored: the one that is there already, or a new one under the next number."""
    while True:
        known = tables.adjustments.of_period(customer_id, billing.start)
        number = max((one.number for one in known), default=0) + 1
        adjustment = Adjustment.model_validate({**values, "number": number})
        for one in known:
            if one.does_the_same(adjustment):
                return one, False
        tables.audit.write(
            AuditEntry(
                customer_id=customer_id,
                at=adjustment.at,
                who=adjustment.who,
                action="adjust",
                before=[one.model_dump(mode="json", exclude_defaults=True) for one in known],
                after=[one.model_dump(mode="json", exclude_defaults=True) for one in [*known, adjustment]],
                why=adjustment.reason,
            )
        )
        if tables.adjustments.add(adjustment):
            return adjustment, True
