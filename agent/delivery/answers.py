"""What an answer of the billing service means for the report that was sent: the contract's table.

Pure. Answers are read leniently (a newer service may say more), but only the contract's JSON counts as
an answer of our own: a captive portal's friendly 200 delivers nothing, and a proxy's 413 refuses nothing for
good. Source: docs/contract.md#answers-to-a-report.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from metering.core.instants import HOUR_SECONDS, parse_instant

LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A proxy's slip must not silence the agent for a year."""
SHORTEST_INTERVAL = 60
_FIRST_REFUSAL = timedelta(seconds=15)


class Disposition(Enum):
    """What to do with the report."""

    DELIVERED = "delivered"
    HOLDS_OTHER = "holds other"
    """Delivered if this journal built what the service holds, else a fork."""
    FORK = "fork"
    TOO_EARLY = "too early"
    QUARANTINE = "quarantine"
    REFUSED = "refused"
    """The key is: nothing at all can be delivered with it."""
    FAILED = "failed"


_OWN = {
    (202, "accepted"): Disposition.DELIVERED,
    (200, "duplicate"): Disposition.DELIVERED,
    (200, "superseded"): Disposition.HOLDS_OTHER,
    (409, "conflict"): Disposition.FORK,
    (422, "window_in_future"): Disposition.TOO_EARLY,
}
_FIRST_ERROR = 400
_NO_ENTRY = frozenset({401, 403})
_FOR_GOOD = frozenset({413, 422})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as the agent understands it.

    ``revision`` and ``digest`` are what the service holds, ``server_time`` its clock where it is an answer of
    our own, ``retry_after`` a span the other side asked for, ``problem`` a line for people.
    """

    disposition: Disposition
    problem: str = ""
    revision: int = 0
    digest: str = ""
    server_time: datetime | None = None
    report_every_seconds: int | None = None
    retry_after: timedelta | None = None


def read_answer(status: int, headers: Mapping[str, str], body: bytes, wall: datetime) -> Answer:
    """Understand the answer to a report; ``wall`` is the wall clock at its arrival (UTC)."""
    said = _object(body)
    disposition, problem = _disposition(status, said)
    interval = said.get("report_every_seconds")
    revision, digest = said.get("revision"), said.get("digest")
    return Answer(
        disposition=disposition,
        problem=problem,
        revision=revision if isinstance(revision, int) else 0,
        digest=digest if isinstance(digest, str) else "",
        server_time=server_time_of(said),
        report_every_seconds=interval if is_interval(interval) else None,
        retry_after=_retry_after(headers.get("retry-after", ""), wall),
    )


def _disposition(status: int, said: dict[str, Any]) -> tuple[Disposition, str]:
    code, text = _error(said)
    problem = f"{status} {text}".strip()
    ours = server_time_of(said) is not None and (status < _FIRST_ERROR or code is not None)
    disposition = _OWN.get((status, str(said.get("status") or code))) if ours else None
    if disposition is not None:
        return disposition, "" if status < _FIRST_ERROR else problem
    if ours and status in _FOR_GOOD:
        return Disposition.QUARANTINE, problem
    return (Disposition.REFUSED if status in _NO_ENTRY else Disposition.FAILED), problem


def _error(said: dict[str, Any]) -> tuple[str | None, str]:
    """The code of an error of our own, or None, and a line for people."""
    error = said.get("error")
    if not isinstance(error, dict):
        message = said.get("message")
        return None, message[:200] if isinstance(message, str) else "no answer of the billing service"
    code = error.get("code")
    rows = error.get("details")
    fields = [
        f"{row.get('field')}: {row.get('message')}"
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
    ]
    text = "; ".join([f"{code}: {error.get('message')}", *fields])
    ours = all(isinstance(error.get(field), str) for field in ("code", "message", "request_id"))
    return code if ours else None, text[:500]


def server_time_of(said: dict[str, Any]) -> datetime | None:
    """The service's clock in an answer of our own, or None in any other."""
    text = said.get("server_time")
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        return None


def is_interval(seconds: object) -> bool:
    """Whether the service tells a distance of reports that the contract allows."""
    return type(seconds) is int and SHORTEST_INTERVAL <= seconds <= HOUR_SECONDS


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _retry_after(text: str, wall: datetime) -> timedelta | None:
    """Seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    if text.isascii() and text.isdigit():
        span = timedelta(seconds=min(int(text), HOUR_SECONDS))
    else:
        try:
            until: datetime = parsedate_to_datetime(text)
            span = until - wall
        except (ValueError, TypeError):
            return None
    return min(max(span, timedelta(0)), LONGEST_RETRY_AFTER)


def back_off(attempt: int, chance: int) -> timedelta:
    """The full-jitter pause after the n-th failure in a row (n from 1), from 1 s to 5 min.

    ``chance`` is a random number from 0 to 999.
    """
    ceiling = min(timedelta(seconds=2 ** min(attempt, 20)), LONGEST_PAUSE)
    floor = timedelta(seconds=1)
    return floor + (ceiling - floor) * chance // 1000


def refusal_pause(attempt: int) -> timedelta:
    """The pause after the n-th refusal of the key in a row: slow, but a key that was just made soon works."""
    return min(_FIRST_REFUSAL * (1 << min(attempt - 1, 10)), LONGEST_PAUSE)
