"""The report and the API's answers, as both sides of the wire know them.

Source: docs/contract.md#the-report. The models refuse what the contract refuses and name the field; rules
that need a clock (a window too old or in the future) or a credential are the service's, not the model's.
"""

import hashlib
import json
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from metering.core.instants import HOUR, HOUR_SECONDS, FullHour, Instant
from metering.core.metrics import COUNTERS, GAUGES

MAX_REPORT_BYTES = 64 * 1024
OLDEST_WINDOW = timedelta(days=400)
"""How long reports are kept; an older window is refused as ``window_too_old``."""
LATEST_WINDOW = timedelta(minutes=5)
"""How far a window's start may lie ahead of the service's clock."""


ID_PATTERN = r"^[A-Za-z0-9_-]{1,40}$"
Id = Annotated[str, Field(pattern=ID_PATTERN)]
StateId = Annotated[str, Field(pattern=ID_PATTERN)]
MetricName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Token = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[int, Field(ge=0, le=HOUR_SECONDS)]
Pace = Annotated[int, Field(ge=60, le=3600)]


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Gauge(_Wire):
    """A level over the seconds in which it was known.

    ``integral`` is value x seconds, an integer; ``seconds`` says how much of the hour was covered.
    """

    last: Count
    max: Count
    integral: Annotated[int, Field(ge=0, lt=2**63 * HOUR_SECONDS)]
    seconds: Seconds


class Source(_Wire):
    """How well one source could be read in the hour: missing is said, never taken for zero.

    ``status`` is "ok" or says what is wrong ("unreachable", "denied", "stale", ...); ``flags`` are counting
    remarks such as "went_back", "lower_bound" or "source_identity"; ``catch_up_from`` is the instant from
    which on the hour's amounts include what the source counted while the agent was away.
    """

    status: Token
    covered_seconds: Seconds
    detail: Annotated[str, Field(max_length=200)] | None = None
    flags: tuple[Token, ...] = ()
    catch_up_from: Instant | None = None


_ACCEPTED = "accepted"


class Report(_Wire):
    """The state of one journal's hour: "in this hour I have counted this much so far".

    The service keeps the highest ``revision`` of each ``state_id``, so that delivering a report again, late
    or out of order changes nothing.
    """

    schema_version: Literal[1]
    customer_id: Id
    instance_id: Id
    window_start: FullHour
    state_id: StateId
    revision: Annotated[int, Field(ge=1, lt=2**31)]
    final: bool
    observed_from: Instant
    observed_until: Instant
    agent_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+_-]{1,40}$")]
    counters: dict[MetricName, Count]
    gauges: dict[MetricName, Gauge]
    sources: dict[Token, Source]

    @model_validator(mode="after")
    def _observed_inside_window(self) -> Self:
        if not self.window_start <= self.observed_from <= self.observed_until <= self.window_start + HOUR:
            raise ValueError("observed_from and observed_until must lie in order inside the window")
        return self

    @model_validator(mode="after")
    def _kinds_as_registered(self, info: ValidationInfo) -> Self:
        if info.context == _ACCEPTED:
            return self
        swapped = sorted((self.counters.keys() & GAUGES) | (self.gauges.keys() & COUNTERS))
        if swapped:
            raise ValueError(f"counter given as gauge or gauge as counter: {', '.join(swapped)}")
        return self

    @classmethod
    def as_accepted(cls, document: Any) -> Self:
        """Read a report that was accepted once: the registry of its time may have known other metrics."""
        return cls.model_validate(document, strict=False, context=_ACCEPTED)

    def unknown_metrics(self) -> list[str]:
        """Names outside the registry: stored and counted, never billed, never refused."""
        return sorted((self.counters.keys() - COUNTERS) | (self.gauges.keys() - GAUGES))

    def canonical_json(self) -> bytes:
        """The report with sorted keys and no blanks: equal reports give equal bytes."""
        return canonical_json(self.model_dump(mode="json", exclude_defaults=True))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hexadecimal; decides duplicate or conflict."""
        return hashlib.sha256(self.canonical_json()).hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no blanks and UTF-8 text, so that equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class FieldError(_Wire):
    """One bad field: its dotted path and what is wrong with it."""

    field: str
    message: str


def field_errors(error: ValidationError, whole: str = "report") -> list[FieldError]:
    """Name each bad field of a failed validation once, in the order of the report.

    What is wrong with no field alone is said of the ``whole``.
    """
    messages: dict[str, list[str]] = {}
    for row in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(str(part) for part in row["loc"] if part != "[key]") or whole
        messages.setdefault(field, []).append(row["msg"].removeprefix("Value error, "))
    return [FieldError(field=field, message="; ".join(said)) for field, said in messages.items()]


class ReportAnswer(_Wire):
    """The answer to a report that was understood: 202 ``accepted``, 200 ``duplicate`` or ``superseded``.

    ``revision`` and ``digest`` are those the service now holds for this journal's hour.
    """

    status: Literal["accepted", "duplicate", "superseded"]
    revision: int
    digest: str
    server_time: Instant
    report_every_seconds: Pace | None = None


class WhoAmI(_Wire):
    """The identity behind an instance key, and the service's clock."""

    customer_id: Id
    instance_id: Id
    server_time: Instant
    report_every_seconds: Pace | None = None


class ErrorDetail(_Wire):
    """What went wrong, for programs (``code``) and for people (``message``, ``details``)."""

    code: str
    message: str
    details: list[FieldError] = []
    request_id: str


class ErrorAnswer(_Wire):
    """The one shape of our errors. A ``conflict`` also says what the service holds."""

    error: ErrorDetail
    server_time: Instant
    revision: int | None = None
    digest: str | None = None
