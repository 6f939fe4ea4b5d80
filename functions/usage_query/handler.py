"""Serves usage to instances and to the customer's page."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from metering.aws.observability import count, logger, metrics
from metering.aws.settings import Settings, read_settings
from metering.aws.web import (
    ApiError,
    Identity,
    identity_of,
    json_answer,
    request_id,
    require_customer,
    require_instance_key,
)
from metering.core.accounts import period_for
from metering.core.alerts import SILENT_AFTER
from metering.core.answers import CurrentPeriod
from metering.core.catalog import builtin_catalog
from metering.core.contract import Pace, WhoAmI, canonical_json
from metering.core.periods import hour_of
from metering.tables.alerts import Alerts
from metering.tables.client import dynamodb
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from metering.tables.reports import Reports
from usage_query.alerts import alerts_of
from usage_query.current_period import current_period, instance_states
from usage_query.live import live_hours, newest_reports


class QuerySettings(Settings):
    """What usage_query reads from its environment."""

    customers_table: str
    reports_table: str
    markers_table: str
    hours_table: str
    report_every_seconds: Pace = 900


SETTINGS = read_settings(QuerySettings)
CUSTOMERS = Customers(dynamodb(), SETTINGS.customers_table)
ALERTS = Alerts(dynamodb(), SETTINGS.customers_table)
REPORTS = Reports(dynamodb(), SETTINGS.reports_table)
MARKERS = Markers(dynamodb(), SETTINGS.markers_table)
HOURS = Hours(dynamodb(), SETTINGS.hours_table)


@metrics.log_metrics
@logger.inject_lambda_context
def handle(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Answer one request."""
    now = datetime.now(UTC)
    count("queries")
    try:
        return _route(event, identity_of(event, now), now)
    except ApiError as error:
        logger.info("request refused", extra={"code": error.code, "reason": error.message})
        count(f"query_{error.code}")
        return error.answer(request_id(event), now)


def _route(event: dict[str, Any], identity: Identity, now: datetime) -> dict[str, Any]:
    match event["routeKey"]:
        case "GET /api/usage/whoami":
            return _whoami(identity, now)
        case "GET /api/usage/current-period/{customer_id}":
            customer_id = event["pathParameters"]["customer_id"]
            require_customer(identity, customer_id)
            return _current_period(event, customer_id, now)
        case "GET /api/billing/usage/current-period":
            return _current_period(event, identity.customer_id, now)
        case other:
            raise ApiError(404, "not_found", f"no such route: {other}")


def _whoami(identity: Identity, now: datetime) -> dict[str, Any]:
    require_instance_key(identity)
    answer = WhoAmI(
        customer_id=identity.customer_id,
        instance_id=identity.instance_id,
        server_time=now.replace(microsecond=0),
        report_every_seconds=SETTINGS.report_every_seconds,
    )
    return json_answer(200, answer)


def _current_period(event: dict[str, Any], customer_id: str, now: datetime) -> dict[str, Any]:
    account = CUSTOMERS.account(customer_id)
    if account is None:
        raise ApiError(404, "unknown_customer", "this customer has no billing profile yet")
    billing = period_for(account.customer, account.periods, hour_of(now))
    if billing is None:
        raise ApiError(404, "no_period", "the customer's first billing period has not begun")
    live = live_hours(customer_id, billing.span, now, MARKERS, HOURS, REPORTS)
    instances = [instance.instance_id for instance in account.instances if instance.digests]
    newest = newest_reports(customer_id, instances, now, SILENT_AFTER, REPORTS)
    states = instance_states(instances, newest, now)
    told = (stored.alert for stored in ALERTS.since(customer_id, billing.start))
    answer = current_period(
        customer_id,
        billing,
        live.hours,
        states,
        builtin_catalog(),
        now,
        live.as_of,
        alerts_of(told, billing),
    )
    etag = _etag(answer)
    if event.get("headers", {}).get("if-none-match") == etag:
        return {"statusCode": 304, "headers": {"etag": etag, "cache-control": "no-cache"}}
    return json_answer(200, answer, {"etag": etag, "cache-control": "no-cache"})


def _etag(answer: CurrentPeriod) -> str:
    """Tag the answer's content, but for the instant at which it was asked."""
    content = canonical_json(answer.model_dump(mode="json", exclude={"as_of", "server_time"}))
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'
