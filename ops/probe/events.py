"""Checks of meter events and their summaries."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ops.probe.check import Check, Finding, ProbeVerdict, held, refusal, refused, taken
from ops.probe.sandbox import DAY_SECONDS, HOUR_SECONDS, Sandbox

_USED_HOURS = 12
_DEFAULT_PAGE = 10
_AT_ONCE = 6
_BAD_REQUEST = 400
_CONFLICT = 409
_TOO_MANY = 429


def _duplicate(sandbox: Sandbox) -> Finding:
    identifier = uuid.uuid4().hex
    sandbox.use("1", sandbox.now - 3 * DAY_SECONDS, identifier=identifier)
    error = refusal(lambda: sandbox.use("1", sandbox.now - 3 * DAY_SECONDS, identifier=identifier))
    if error is None:
        return ProbeVerdict.FAILS, "taken"
    text = f"An event already exists with identifier {identifier}"
    known = error.http_status == _BAD_REQUEST and error.code is None and text in (error.user_message or "")
    return held(known, f"{error.http_status} {error.code}: {error.user_message}")


def _too_old(sandbox: Sandbox) -> Finding:
    return refused(lambda: sandbox.use("1", sandbox.now - 36 * DAY_SECONDS))


def _too_early(sandbox: Sandbox) -> Finding:
    return refused(lambda: sandbox.use("1", sandbox.now + HOUR_SECONDS))


def _too_long(sandbox: Sandbox) -> Finding:
    return refused(lambda: sandbox.use("1.234567890123456"))


def _unknown_name(sandbox: Sandbox) -> Finding:
    return taken(lambda: sandbox.use("1", event_name=f"{sandbox.name}_none"))


def _unknown_customer(sandbox: Sandbox) -> Finding:
    payload = {"stripe_customer_id": "cus_zemfyreprobenone", "value": "1"}
    return taken(lambda: sandbox.use("1", payload=payload))


def _exponent(sandbox: Sandbox) -> Finding:
    return taken(lambda: sandbox.use("1e3"))


def _rejected_identifier(sandbox: Sandbox) -> Finding:
    identifier = uuid.uuid4().hex
    sandbox.use("1e3", identifier=identifier)
    return refused(lambda: sandbox.use("1", identifier=identifier))


def _sample(sandbox: Sandbox) -> Finding:
    identifier, key = uuid.uuid4().hex, uuid.uuid4().hex
    params: Any = {
        "event_name": sandbox.name,
        "payload": {"stripe_customer_id": sandbox.customer, "value": "2e3"},
        "identifier": identifier,
    }
    options: Any = {"idempotency_key": key}
    sandbox.client.v1.billing.meter_events.create(params, options)
    found, requests = sandbox.until(
        lambda: _sampled(sandbox), lambda named: any({identifier, key} & set(one.values()) for one in named)
    )
    if not found:
        return ProbeVerdict.UNCLEAR, f"in no report within {sandbox.wait_s} s"
    [named] = [one for one in requests if {identifier, key} & set(one.values())]
    words = {identifier: "the identifier", key: "the Idempotency-Key"}
    seen = ", ".join(f"{name} is {words.get(value, 'another id')}" for name, value in named.items())
    return held(named == {"identifier": key}, seen)


def _sampled(sandbox: Sandbox) -> list[dict[str, str]]:
    """What the newest reports of the probe's meter call their samples."""
    query: Any = {"types": ["v1.billing.meter.error_report_triggered"], "object_id": sandbox.meter}
    reports: list[Any] = [
        sandbox.client.v2.core.events.retrieve(one.id)
        for one in sandbox.client.v2.core.events.list(query).data
    ]
    return [
        sample.request.to_dict()
        for report in reports
        for kind in report.data.reason.error_types
        for sample in kind.sample_errors
    ]


def _one_key_at_once(sandbox: Sandbox) -> Finding:
    # the SDK repeats a 409 unless told not to
    options: Any = {"idempotency_key": uuid.uuid4().hex, "max_network_retries": 0}
    params: Any = {
        "event_name": sandbox.name,
        "payload": {"stripe_customer_id": sandbox.customer, "value": "1"},
        "timestamp": sandbox.now - 4 * DAY_SECONDS,
    }
    calls = sandbox.client.v1.billing.meter_events
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        errors = list(pool.map(lambda _: refusal(lambda: calls.create(params, options)), range(_AT_ONCE)))
    statuses = [error.http_status for error in errors if error is not None]
    if not statuses:
        return ProbeVerdict.UNCLEAR, f"{_AT_ONCE} at once were all answered"
    return held(_CONFLICT in statuses, f"{len(statuses)} of {_AT_ONCE} at once got {statuses[0]}")


def _one_at_a_time(sandbox: Sandbox) -> Finding:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        errors = list(
            pool.map(
                lambda _: refusal(lambda: sandbox.use("1", sandbox.now - 2 * DAY_SECONDS)), range(_AT_ONCE)
            )
        )
    # the SDK keeps the code of a 429 in the body alone
    bodies: list[Any] = [
        error.json_body for error in errors if error is not None and error.http_status == _TOO_MANY
    ]
    seen = [body["error"].get("code") for body in bodies]
    if not seen:
        return ProbeVerdict.UNCLEAR, f"{_AT_ONCE} at once were all taken"
    return held("lock_timeout" in seen, f"{len(seen)} of {_AT_ONCE} at once got 429 {seen[0]}")


def _last_wins(sandbox: Sandbox) -> Finding:
    hour = sandbox.now - sandbox.now % HOUR_SECONDS - 5 * DAY_SECONDS
    sandbox.use("5", hour + 60)
    sandbox.use("3", hour)
    good, seen = sandbox.until(
        lambda: _summaries(sandbox, hour, hour + HOUR_SECONDS), lambda rows: _values(rows) == [3]
    )
    if not good and not seen:
        return ProbeVerdict.UNCLEAR, f"not counted within {sandbox.wait_s} s"
    return held(good, f"5, then 3 received: {_values(seen)}")


def _sparse_summaries(sandbox: Sandbox) -> Finding:
    start = sandbox.now - sandbox.now % HOUR_SECONDS - 10 * DAY_SECONDS
    hours = [start + place * 2 * HOUR_SECONDS for place in range(_USED_HOURS)]
    for hour in hours:
        sandbox.use("1", hour)
    end = hours[-1] + HOUR_SECONDS
    good, _ = sandbox.until(
        lambda: _summaries(sandbox, start, end, limit=100), lambda rows: len(_values(rows)) == _USED_HOURS
    )
    page: Any = sandbox.client.v1.billing.meters.event_summaries.list(
        sandbox.meter, _query(sandbox, start, end)
    )
    starts = [row.start_time for row in page.data]
    if not good:
        return ProbeVerdict.UNCLEAR, f"{len(starts)} windows within {sandbox.wait_s} s"
    ours = hours[::-1][:_DEFAULT_PAGE]
    return held(ours == starts and page.has_more, f"{len(starts)} a page, newest first: {ours == starts}")


def _query(sandbox: Sandbox, start: int, end: int, **more: Any) -> Any:
    bounds = {"customer": sandbox.customer, "start_time": start, "end_time": end}
    return bounds | {"value_grouping_window": "hour"} | more


def _summaries(sandbox: Sandbox, start: int, end: int, **more: Any) -> list[Any]:
    query = _query(sandbox, start, end, **more)
    return list(sandbox.client.v1.billing.meters.event_summaries.list(sandbox.meter, query).data)


def _values(rows: list[Any]) -> list[float]:
    return [row.aggregated_value for row in rows]


CHECKS = (
    Check("a repeated identifier is refused with 400, no code, and the known message", _duplicate),
    Check("a timestamp more than 35 days past is refused at once", _too_old),
    Check("a timestamp more than 5 minutes ahead is refused at once", _too_early),
    Check("a value of more than 15 digits is refused at once", _too_long),
    Check("an unknown event name gets a 200 and a report afterwards", _unknown_name),
    Check("an unknown customer gets a 200 and a report afterwards", _unknown_customer),
    Check("a value with an exponent gets a 200 and a report afterwards", _exponent),
    Check("a refused event has used up its identifier", _rejected_identifier),
    Check("a report's samples name the request's Idempotency-Key", _sample),
    Check("calls under one Idempotency-Key at once get 409", _one_key_at_once),
    Check("events of one customer and meter at once get 429 lock_timeout", _one_at_a_time),
    Check("of an hour's events the one received last counts, whatever the timestamps", _last_wins),
    Check("summaries leave out empty windows, newest first, ten a page", _sparse_summaries),
)
