"""Reports of events that were answered with a 200 and do not count."""

from collections import Counter

from stripe_simulator.engine.event_log import iso, record_thin
from stripe_simulator.engine.objects import MeterEvent
from stripe_simulator.engine.state import Json, Rejection, State

MOST_SAMPLES = 5


def gather(state: State, rejection: Rejection) -> None:
    """Put a rejection on record; its meter's report follows when the error window closes."""
    state.rejected.append(rejection)
    gathered = state.unreported[rejection.meter]
    gathered.append(rejection)
    if len(gathered) == 1:
        closes = rejection.at + state.settings.error_window_s
        state.agenda.at(closes, lambda at: _report(state, rejection.meter, at))


def _report(state: State, meter: str | None, at: int) -> None:
    gathered = state.unreported.pop(meter)
    counts = Counter(rejection.code for rejection in gathered)
    content: Json = {
        "developer_message_summary": f"There is {len(gathered)} invalid event"
        if len(gathered) == 1
        else f"There are {len(gathered)} invalid events",
        "reason": {
            "error_count": len(gathered),
            "error_types": [
                {"code": code, "error_count": count, "sample_errors": _samples(state, gathered, code)}
                for code, count in counts.items()
            ],
        },
        "validation_start": iso(gathered[0].at),
        "validation_end": iso(at),
    }
    if meter is None:
        record_thin(state, "v1.billing.meter.no_meter_found", at, content, None)
    else:
        related = {"id": meter, "type": "billing.meter", "url": f"/v1/billing/meters/{meter}"}
        record_thin(state, "v1.billing.meter.error_report_triggered", at, content, related)


def _samples(state: State, gathered: list[Rejection], code: str) -> list[Json]:
    return [
        {"error_message": rejection.message, "request": _named(state, rejection.event)}
        for rejection in gathered
        if rejection.code == code
    ][:MOST_SAMPLES]


def _named(state: State, event: MeterEvent) -> Json:
    """What a sample calls the event: one of the names that Stripe's pages give it."""
    match state.settings.error_samples_name:
        case "identifier":
            return {"identifier": event.identifier}
        case "id_and_idempotency_key":
            return {"id": event.request_id, "idempotency_key": event.idempotency_key}
        case _:
            return {"identifier": event.idempotency_key or event.identifier}
