"""What ``agent check``, ``agent status`` and ``agent requeue`` print.

Source: docs/agent-design.md#configuration.
"""

import threading

from agent.engine.clock import Clock, from_ms
from agent.engine.hour import AGENT, MeasuredHour
from agent.engine.meter import check_values
from agent.engine.observation import Collector, SourceError
from agent.engine.own import without_own
from agent.engine.reading import Failure, SourceReading
from agent.journal import rows
from agent.journal.file import open_beside, open_read_only
from agent.poller import poll
from agent.settings import Settings
from agent.sources import enabled_collectors
from metering.core.instants import format_instant

PATIENCE_SECONDS = 30
"""A broker tells its uptime at its own pace, every 10 s by default."""
_RETRY_SECONDS = 1.0
_WIDEST = 60


def check(settings: Settings, clock: Clock) -> tuple[list[str], bool]:
    """Try every source and the billing service; returns the lines to print and whether all is well.

    Raises
    ------
    SettingsError
        When the sources cannot be made.
    """
    sources = enabled_collectors(settings, clock)
    results: dict[str, SourceReading | Failure] = {}
    threads = [
        threading.Thread(target=_try, args=(source, clock, results), daemon=True) for source in sources
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS + 5)
    table = [("source", "status", "what it read")]
    for source in sources:
        result = results.get(source.name) or Failure(source.name, "timeout", "no answer")
        table += _rows_of(result)
    if not sources:
        table.append(("-", "none", "no source is enabled; set MQTT_HOST, POSTGRES_DSN or another"))
    table.append(_billing(settings))
    well = bool(sources) and all(isinstance(result, SourceReading) for result in results.values())
    return _lines(table), well and table[-1][1] in {"ok", "not set"} and len(results) == len(sources)


def _try(source: Collector, clock: Clock, results: dict[str, SourceReading | Failure]) -> None:
    deadline_ns = clock.moment().boot_ns + PATIENCE_SECONDS * 1_000_000_000
    pause = threading.Event()
    while True:
        results[source.name] = result = _checked(poll(source))
        if isinstance(result, SourceReading) or clock.moment().boot_ns > deadline_ns:
            source.close()
            return
        pause.wait(_RETRY_SECONDS)


def _checked(result: SourceReading | Failure) -> SourceReading | Failure:
    if isinstance(result, SourceReading):
        try:
            check_values(result.observation)
        except SourceError as error:
            return Failure(result.name, error.status, str(error))
    return result


def _rows_of(result: SourceReading | Failure) -> list[tuple[str, str, str]]:
    if isinstance(result, Failure):
        return [(result.name, result.status, result.detail)]
    seen = result.observation
    totals: dict[str, int] = {}
    for series, value in without_own(seen).items():
        totals[series.metric] = totals.get(series.metric, 0) + value
    read = [f"{metric} = {value} (total)" for metric, value in sorted(totals.items())]
    read += [f"{metric} = {value}" for metric, value in sorted(seen.gauges.items())]
    read += [f"flag {flag}" for flag in sorted(seen.flags)]
    first, *more = read or ["nothing"]
    return [(result.name, "ok", first), *[("", "", line) for line in more]]


def _billing(settings: Settings) -> tuple[str, str, str]:
    if settings.billing_api_url is None or not settings.licensed:
        return "billing", "not set", "nothing is sent without CUSTOMER_ID and BILLING_API_URL"
    # Imported only where there is somebody to talk to: httpx costs 15 MB.
    from agent.delivery.wire import Wire  # noqa: PLC0415  see above

    wire = Wire.to_service(settings)
    reply = wire.ask("GET", "/api/usage/whoami")
    wire.close()
    said = reply.json()
    whose = (said.get("customer_id"), said.get("instance_id"))
    if reply.status != 200:  # noqa: PLR2004  HTTP's own number
        return "billing", "failed", reply.trouble or f"whoami answers {reply.status}"
    if whose != (settings.customer_id, settings.instance_id):
        return "billing", "failed", f"the key belongs to {whose[0]}/{whose[1]}"
    return "billing", "ok", f"{whose[0]}/{whose[1]}, it is {said.get('server_time')} there"


def status(settings: Settings) -> tuple[list[str], bool]:
    """Describe the journal, also while the agent runs; returns the lines to print and True.

    Raises
    ------
    JournalError
        When there is no journal that can be read.
    """
    with open_read_only(settings.journal_path) as db:
        facts = rows.read_facts(db)
        sources = rows.read_sources(db)
        backlog = rows.read_backlog(db)
        provisional = facts is not None and not facts.timeline.known
        hours = rows.read_hours(db, provisional=provisional, sealed=False)
    if facts is None or not hours:
        return ["The journal is empty; the agent has not ticked yet."], True
    hour = hours[-1]
    remark = " (provisional: by the wall clock)" if provisional else ""
    lines = [
        f"open hour {_time(hour.start_ms)}{remark}, observed {_span(hour)}",
        f"journal {facts.state_id}, run {facts.run}, last tick {_time(facts.now_ms)}",
        f"waiting: {backlog.reports} reports, {backlog.hours} hours from {_time(backlog.oldest_ms)} on",
        f"quarantined: {backlog.quarantined}, last delivery: {_time(facts.delivered_ms)}",
        *[f"  {_time(at_ms)}: {problem}" for at_ms, problem in backlog.problems],
        *[
            f"of {owner}, its former name: {count} hours; they need FORMER_INSTANCE_KEY, or are lost"
            for owner, count in backlog.former
        ],
        "",
        *_lines([("metric", "this hour", ""), *_amounts(hour)]),
        "",
    ]
    table = [("source", "status", "last success")]
    for name in sorted(sources.keys() | hour.sources.keys() - {AGENT}):
        entry = hour.sources.get(name)
        state = f"{entry.status} {entry.detail or ''}".strip() if entry else "not enabled"
        flags = f" [{', '.join(sorted(entry.flags))}]" if entry and entry.flags else ""
        table.append((name, state + flags, _time(sources[name].at_ms) if name in sources else "never"))
    return lines + _lines(table), True


def requeue(settings: Settings) -> tuple[list[str], bool]:
    """Let every quarantined hour be reported again, also while the agent runs; the lines to print and True.

    Raises
    ------
    JournalError
        When there is no journal that can be written.
    """
    with open_beside(settings.journal_path) as db:
        count = rows.requeue(db)
    return [f"{count} quarantined hours will be reported again, each as its next revision"], True


def _amounts(hour: MeasuredHour) -> list[tuple[str, str, str]]:
    counted = [(metric, str(amount), "") for metric, amount in sorted(hour.counters.items())]
    levels = [
        (metric, str(gauge.last), f"{gauge.integral // 1000} over {gauge.covered_ms // 1000} s")
        for metric, gauge in sorted(hour.gauges.items())
    ]
    return counted + levels


def _span(hour: MeasuredHour) -> str:
    return f"{_time(hour.observed_from_ms)} to {_time(hour.observed_until_ms)}"


def _time(instant_ms: int | None) -> str:
    return "never" if instant_ms is None else format_instant(from_ms(instant_ms))


def _lines(table: list[tuple[str, str, str]]) -> list[str]:
    first = max(len(row[0]) for row in table)
    second = min(max(len(row[1]) for row in table), _WIDEST)
    return [f"{row[0]:<{first}}  {row[1]:<{second}}  {row[2]}".rstrip() for row in table]
