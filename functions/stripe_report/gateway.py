"""The one place that talks to Stripe: meter events out, their fate back.

Source: design page "stripe", sections "What Stripe does" and "The protocol", step 4.
"""

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

import stripe

from metering.tables.ledger import PENDING, SENT

RETRIES = 2
TIMEOUT_SECONDS = 10
PARALLEL_METERS = 8
_ALREADY_EXISTS = "An event already exists with identifier"
_TRY_AGAIN = frozenset({401, 403, 408, 409, 429})


@dataclass(frozen=True, slots=True)
class MeterEvent:
    """One meter event as Stripe takes it."""

    event_name: str
    stripe_customer_id: str
    value: Decimal
    timestamp: datetime
    identifier: str


class Gateway:
    """Meter events and subscriptions over one Stripe client."""

    def __init__(self, api_key: str, api_base: str | None = None) -> None:
        addresses: Any = {"base_addresses": {"api": api_base}} if api_base else {}
        self._stripe = stripe.StripeClient(
            api_key,
            max_network_retries=RETRIES,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
            **addresses,
        )

    def send(self, events: Sequence[MeterEvent]) -> dict[str, str]:
        """Send events; return each identifier's new state.

        Stripe takes one call at a time for a customer and meter, so a meter's events go one after the other
        and meters in parallel.
        """
        ordered = sorted(events, key=lambda event: (event.event_name, event.timestamp))
        per_meter = [list(group) for _, group in groupby(ordered, key=lambda event: event.event_name)]
        if not per_meter:
            return {}
        with ThreadPoolExecutor(min(len(per_meter), PARALLEL_METERS)) as pool:
            states = list(pool.map(lambda group: {e.identifier: self._send_one(e) for e in group}, per_meter))
        return {identifier: state for group in states for identifier, state in group.items()}

    def current_span(self, subscription_id: str) -> tuple[datetime, datetime]:
        """Return the current period's bounds, which are on the subscription's items."""
        subscription = self._stripe.v1.subscriptions.retrieve(subscription_id)
        item = subscription["items"]["data"][0]
        return (
            datetime.fromtimestamp(item["current_period_start"], UTC),
            datetime.fromtimestamp(item["current_period_end"], UTC),
        )

    def _send_one(self, event: MeterEvent) -> str:
        try:
            self._stripe.v1.billing.meter_events.create(
                {
                    "event_name": event.event_name,
                    "payload": {"stripe_customer_id": event.stripe_customer_id, "value": f"{event.value:f}"},
                    "timestamp": int(event.timestamp.timestamp()),
                    "identifier": event.identifier,
                },
                # Stripe replays a stored 500 under an old key, so each run has a fresh one.
                {"idempotency_key": str(uuid.uuid4())},
            )
        except stripe.StripeError as error:
            return fate(error)
        return SENT


def fate(error: stripe.StripeError) -> str:
    """Return what an error means for an event: sent, pending or ``refused(<code>)``.

    "Already exists" means delivered, since a number stands for one value. What may pass with time stays
    pending; any other 4xx is refused and alarmed.
    """
    status = error.http_status
    if status is None or status in _TRY_AGAIN or status >= 500:  # noqa: PLR2004  Stripe's own failures
        return PENDING
    if status == 400 and _ALREADY_EXISTS in (error.user_message or ""):  # noqa: PLR2004  see the design page
        return SENT
    return f"refused({error.code or status})"
