"""Meter events out to Stripe, their fate back.

Source: docs/stripe-protocol.md#what-stripe-does and docs/stripe-protocol.md#the-protocol, step 4.
"""

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

import stripe

from metering.core.exact import plain
from metering.tables.ledger import PENDING, SENT, EntryState, refused
from stripe_report.patience import TOO_MANY, Pace, PatientTransport
from stripe_report.reader import Reader

RETRIES = 2
TIMEOUT_SECONDS = 10
PARALLEL_METERS = 8
UNANSWERED_LIMIT = 3
"""After so many events of one meter without an answer the rest wait for the next run: Stripe is down."""
_ALREADY_EXISTS = "An event already exists with identifier"
_TRY_AGAIN = frozenset({401, 403, 408, 409, TOO_MANY})
_READ_AGAIN = _TRY_AGAIN - {403}
"""A key without the right to read something gets it from people, not from time."""


@dataclass(frozen=True, slots=True)
class MeterEvent:
    """One meter event as Stripe takes it.

    ``turn`` orders a meter's events before their timestamps do: 0 for a number that goes out for the first
    time, so that one that Stripe keeps failing holds up no other.
    """

    event_name: str
    stripe_customer_id: str
    value: Decimal
    timestamp: datetime
    identifier: str
    turn: int = 0


def stripe_client(
    api_key: str, api_base: str | None = None, calls_per_second: float | None = None
) -> stripe.StripeClient:
    """Return a client with our retries, timeout and pace.

    ``api_base`` stands in place of Stripe's own address; ``calls_per_second`` are this process's, meter
    events aside, and None sets no pace.
    """
    addresses: Any = {"base_addresses": {"api": api_base}} if api_base else {}
    return stripe.StripeClient(
        api_key,
        max_network_retries=RETRIES,
        http_client=PatientTransport(stripe.RequestsClient(timeout=TIMEOUT_SECONDS), Pace(calls_per_second)),
        **addresses,
    )


class Gateway:
    """Sends meter events over one Stripe client; ``reader`` reads through the same one."""

    def __init__(self, client: stripe.StripeClient, parallel: int = PARALLEL_METERS) -> None:
        self._stripe = client
        self._pool = ThreadPoolExecutor(parallel, thread_name_prefix="meter")
        self._limited = False
        self.reader = Reader(client)

    def was_limited(self) -> bool:
        """Tell whether an event met a limit since this was last asked."""
        limited, self._limited = self._limited, False
        return limited

    def send(self, events: Sequence[MeterEvent]) -> dict[str, EntryState]:
        """Send events; return each identifier's new state, pending for those that were not tried.

        Stripe takes one call at a time for a customer and meter, so a meter's events go one after the other
        and meters in parallel.
        """
        ordered = sorted(events, key=lambda event: (event.event_name, event.turn, event.timestamp))
        per_meter = [list(group) for _, group in groupby(ordered, key=lambda event: event.event_name)]
        turns = [self._pool.submit(self._send_in_turn, group) for group in per_meter]
        # All of them end before any failure is raised: nothing may be sent after the run that sent it.
        wait(turns)
        return {identifier: state for turn in turns for identifier, state in turn.result().items()}

    def _send_in_turn(self, events: Sequence[MeterEvent]) -> dict[str, EntryState]:
        states = {event.identifier: PENDING for event in events}
        unanswered = 0
        for event in events:
            state = self._send_one(event)
            states[event.identifier] = state
            unanswered += state == PENDING
            if unanswered >= UNANSWERED_LIMIT:
                break
        return states

    def _send_one(self, event: MeterEvent) -> EntryState:
        try:
            self._stripe.v1.billing.meter_events.create(
                {
                    "event_name": event.event_name,
                    "payload": {"stripe_customer_id": event.stripe_customer_id, "value": plain(event.value)},
                    "timestamp": int(event.timestamp.timestamp()),
                    "identifier": event.identifier,
                },
                # Stripe replays a stored 500 under an old key, so each run has a fresh one. It begins with
                # the identifier, since error reports may name either.
                {"idempotency_key": f"{event.identifier}/{uuid.uuid4()}"},
            )
        except stripe.StripeError as error:
            self._limited |= is_limit(error)
            return fate(error)
        return SENT


def fate(error: stripe.StripeError) -> EntryState:
    """Return what an error means for an event: sent, pending, or refused with a code.

    "Already exists" means delivered, since a number stands for one value. What may pass with time stays
    pending, and so does an answer that is none of Stripe's; any other 4xx is refused and alarmed.
    """
    status = error.http_status
    if status is None or status in _TRY_AGAIN or not 400 <= status < 500:  # noqa: PLR2004  the range of 4xx
        return PENDING
    if status == 400 and _ALREADY_EXISTS in (error.user_message or ""):  # noqa: PLR2004  HTTP's own number
        return SENT
    return refused(error.code or str(status))


def is_limit(error: stripe.StripeError) -> bool:
    """Tell whether a call was one too many: Stripe is there, and takes it later."""
    return error.http_status == TOO_MANY


def is_refused_for_good(error: stripe.StripeError) -> bool:
    """Tell whether Stripe refuses a read whatever time passes: any 4xx but those that say to come again."""
    status = error.http_status
    return status is not None and 400 <= status < 500 and status not in _READ_AGAIN  # noqa: PLR2004  as above
