"""The names by which Stripe's objects are found again: meters, prices, meter events, what is a customer's.

Pure text, shared by whoever makes the objects (ops) and whoever uses them (stripe_report). Source:
docs/stripe-protocol.md#the-protocol and docs/stripe-protocol.md#setting-up.
"""

import hashlib
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from metering.core.catalog import Price, Terms
from metering.core.contract import canonical_json
from metering.core.rating import BASE_FEE

CENTS = 100
OUR_ID = "customer_id"
"""The name in a Stripe object's metadata under which it bears our customer's id."""
LATE_ITEM = "late_item"
"""The name in an invoice item's metadata under which it bears our late item's id."""
SETTLE_ITEM = "settle_item"
"""The name in an invoice item's metadata under which it bears the id of a settlement's line."""
LARGEST_PAGE = 100
"""Objects a page of a list of Stripe's has at most; it is ten unless asked for."""
_PREFIX = "zemfyre_"
_FINGERPRINT = 10
_WRITTEN_VERSION = re.compile(r"_v([0-9]+)$")
_IDENTIFIER = re.compile(
    r"(?P<customer>[A-Za-z0-9_-]{1,40})\.(?P<meter>[a-z0-9_]{1,40})\.(?P<hour>\d{8}T\d{2})\.(?P<number>\d{1,9})"
)


class EventName(NamedTuple):
    """What a meter event's identifier says: whose contribution of which hour, under which number."""

    customer_id: str
    meter: str
    hour: datetime
    number: int


def written(meter: str) -> str:
    """Return a meter's name as Stripe gets it, where letters, digits and underscores are sure to be taken.

    The second version of ``storage`` is ``storage_v2``; no meter's own name ends so.
    """
    return meter.replace("@", "_v")


def event_name(meter: str) -> str:
    """Return the event name of a meter; Stripe has one meter for each version."""
    return f"{_PREFIX}{written(meter)}"


def meter_of_event_name(name: str) -> str | None:
    """Return the meter that an event name is of; None when it is none of ours."""
    return _read(name.removeprefix(_PREFIX)) if name.startswith(_PREFIX) else None


def event_identifier(customer_id: str, meter: str, hour: datetime, number: int) -> str:
    """Return a meter event's identifier: it stands for one value of one hour for ever."""
    return f"{customer_id}.{written(meter)}.{hour:%Y%m%dT%H}.{number}"


def read_identifier(identifier: str) -> EventName | None:
    """Read what `event_identifier` wrote, also where a slash and more follow it; None for any other text."""
    match = _IDENTIFIER.fullmatch(identifier.partition("/")[0])
    if match is None:
        return None
    try:
        hour = datetime.strptime(match["hour"], "%Y%m%dT%H").replace(tzinfo=UTC)
    except ValueError:
        return None
    return EventName(match["customer"], _read(match["meter"]), hour, int(match["number"]))


def our_id(metadata: Any) -> str | None:
    """Return the customer that a Stripe object's metadata name; None when it is none of ours."""
    named = metadata.to_dict().get(OUR_ID) if metadata else None
    return str(named) if named else None


def base_lookup_key(customer_id: str, terms: Terms, plan_fee: Decimal | str) -> str:
    """Return the lookup key of a monthly fee: the plan's, or the customer's own where it differs."""
    if terms.base_fee == plan_fee:
        return f"{terms.plan}.{BASE_FEE}"
    return f"{customer_id}.{BASE_FEE}.{_fingerprint(f'{terms.base_fee:f}')}"


def meter_lookup_key(customer_id: str, terms: Terms, meter: str) -> str | None:
    """Return the lookup key of a meter's price under a customer's terms; None for an unlimited meter."""
    price = terms.meters[meter]
    if price.unlimited:
        return None
    if meter not in terms.overridden:
        return f"{terms.plan}.{meter}"
    return f"{customer_id}.{meter}.{_fingerprint(price.model_dump(mode='json'))}"


def stripe_tiers(price: Price) -> list[dict[str, str | int]]:
    """Return a price's graduated tiers as Stripe takes them: cents, and a free tier said explicitly."""
    tiers: list[dict[str, str | int]] = []
    for tier in price.tiers:
        up_to: str | int = "inf" if tier.up_to is None else int(tier.up_to)
        amount = {"unit_amount_decimal": cents(tier.unit_amount)} if tier.unit_amount else {"unit_amount": 0}
        tiers.append({"up_to": up_to, **amount})
    return tiers


def cents(dollars: Decimal) -> str:
    """Return an amount in cents as Stripe's decimal fields take it: plain, without needless zeros."""
    return f"{(dollars * CENTS).normalize():f}"


def _read(meter: str) -> str:
    return _WRITTEN_VERSION.sub(r"@\1", meter)


def _fingerprint(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()[:_FINGERPRINT]
