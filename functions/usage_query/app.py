"""Serves usage to instances and to the customer's page."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from metering.aws.clients import Clients
from metering.aws.observability import count, logger
from metering.aws.settings import Settings
from metering.aws.web import (
    ApiError,
    Identity,
    identity_of,
    json_answer,
    request_id,
    require_customer,
    require_instance_key,
)
from metering.core.alerts import SILENT_AFTER
from metering.core.answers import CurrentPeriod
from metering.core.catalog import Catalog, builtin_catalog
from metering.core.contract import Pace, WhoAmI, canonical_json
from metering.core.shown import Shown, shown_period
from metering.core.usage import PeriodUsage
from metering.tables.tables import Tables
from usage_query.alerts import alerts_of
from usage_query.current_period import Standing, current_period, instance_states
from usage_query.live import LiveUsage, live_usage, newest_reports
from usage_query.unbilled import unbilled_flags


class QuerySettings(Settings):
    """What usage_query reads from its environment."""

    customers_table: str
    reports_table: str
    markers_table: str
    hours_table: str
    report_every_seconds: Pace = 900


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Answers the routes that read."""

    tables: Tables
    report_every_seconds: Pace
    catalog: Catalog

    def handle(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Answer one request."""
        now = datetime.now(UTC)
        count("queries")
        try:
            return self._route(event, identity_of(event, now), now)
        except ApiError as error:
            logger.info("request refused", extra={"code": error.code, "reason": error.message})
            count(f"query_{error.code}")
            return error.answer(request_id(event), now)

    def _route(self, event: dict[str, Any], identity: Identity, now: datetime) -> dict[str, Any]:
        match event["routeKey"]:
            case "GET /api/usage/whoami":
                return self._whoami(identity, now)
            case "GET /api/usage/current-period/{customer_id}":
                customer_id = event["pathParameters"]["customer_id"]
                require_customer(identity, customer_id)
                return self._current_period(event, customer_id, now)
            case "GET /api/billing/usage/current-period":
                return self._current_period(event, identity.customer_id, now)
            case other:
                raise ApiError(404, "not_found", f"no such route: {other}")

    def _whoami(self, identity: Identity, now: datetime) -> dict[str, Any]:
        require_instance_key(identity)
        answer = WhoAmI(
            customer_id=identity.customer_id,
            instance_id=identity.instance_id,
            server_time=now.replace(microsecond=0),
            report_every_seconds=self.report_every_seconds,
        )
        return json_answer(200, answer)

    def _current_period(self, event: dict[str, Any], customer_id: str, now: datetime) -> dict[str, Any]:
        account = self.tables.customers.account(customer_id)
        if account is None:
            raise ApiError(404, "unknown_customer", "this customer has no billing profile yet")
        shown = shown_period(account, now)
        if shown is None:
            raise ApiError(404, "no_period", "the subscription ended before its first billing period")
        billing = shown.billing
        live = self._live(customer_id, shown, now)
        newest = newest_reports(customer_id, account.instance_ids, now, SILENT_AFTER, self.tables.reports)
        told = (stored.alert for stored in self.tables.alerts.since(customer_id, billing.start))
        standing = Standing(
            customer_id=customer_id,
            as_of=live.as_of,
            instances=instance_states(account.instance_ids, newest, now),
            alerts=alerts_of(told, billing),
            ended_at=shown.ended_at,
            begins_at=shown.begins_at,
            unbilled=tuple(unbilled_flags(account, billing, now, self.tables)),
        )
        answer = current_period(live.usage, standing, now)
        etag = _etag(answer)
        if event.get("headers", {}).get("if-none-match") == etag:
            return {"statusCode": 304, "headers": {"etag": etag, "cache-control": "no-cache"}}
        return json_answer(200, answer, {"etag": etag, "cache-control": "no-cache"})

    def _live(self, customer_id: str, shown: Shown, now: datetime) -> LiveUsage:
        if shown.begins_at is not None:
            return LiveUsage(PeriodUsage(shown.billing, (), self.catalog), now)
        return live_usage(customer_id, shown.billing, now, self.tables, self.catalog)


def build(settings: QuerySettings, tables: Tables, _clients: Clients) -> UsageQuery:
    """Put usage_query together."""
    tables.load("customers", "reports", "markers", "hours", "alerts", "adjustments")
    tables.load("invoices", "settlements")
    return UsageQuery(tables, settings.report_every_seconds, builtin_catalog())


def _etag(answer: CurrentPeriod) -> str:
    """Tag the answer's content, but for the instant at which it was asked."""
    content = canonical_json(answer.model_dump(mode="json", exclude={"as_of", "server_time"}))
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
