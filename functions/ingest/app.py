"""``POST /api/usage/report``: accepts reports."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest.accept import Accepted, accept
from metering.aws.clients import Clients
from metering.aws.observability import count, logger
from metering.aws.settings import Settings
from metering.aws.web import ApiError, body_of, identity_of, json_answer, request_id
from metering.core.contract import Pace, ReportAnswer
from metering.tables.reports import Outcome
from metering.tables.tables import Tables


class IngestSettings(Settings):
    """What ingest reads from its environment."""

    customers_table: str
    reports_table: str
    markers_table: str
    report_every_seconds: Pace = 900


@dataclass(frozen=True, slots=True)
class Ingest:
    """Accepts reports, and tells agents how often to send them."""

    tables: Tables
    report_every_seconds: Pace

    def handle(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Answer one report."""
        now = datetime.now(UTC)
        try:
            accepted = accept(body_of(event), identity_of(event, now), now, self.tables)
        except ApiError as error:
            logger.warning("report refused", extra={"code": error.code, "reason": error.message})
            count(f"report_{error.code}")
            return error.answer(request_id(event), now)
        _tell(accepted)
        stored = accepted.stored
        answer = ReportAnswer(
            status=stored.outcome.value,  # type: ignore[arg-type]  # a conflict was raised before
            revision=stored.revision,
            digest=stored.digest,
            server_time=now.replace(microsecond=0),
            report_every_seconds=self.report_every_seconds,
        )
        return json_answer(202 if stored.outcome is Outcome.ACCEPTED else 200, answer)


def build(settings: IngestSettings, tables: Tables, _clients: Clients) -> Ingest:
    """Put ingest together."""
    tables.load("reports", "markers")
    return Ingest(tables, settings.report_every_seconds)


def _tell(accepted: Accepted) -> None:
    """Say what an operator must know: unknown metrics, and a revision that lowers an amount."""
    report, stored = accepted.report, accepted.stored
    count(f"report_{stored.outcome.value}")
    where = {
        "customer_id": report.customer_id,
        "instance_id": report.instance_id,
        "window_start": report.window_start.isoformat(),
        "state_id": report.state_id,
        "revision": report.revision,
    }
    if unknown := report.unknown_metrics():
        count("unknown_metrics", len(unknown))
        logger.info("metrics that the registry does not know", extra=where | {"metrics": unknown})
    if stored.lowered:
        count("regression")
        logger.error("a higher revision lowers an amount", extra=where | {"metrics": stored.lowered})
