"""A report's way into the table: read it, check it, store it, mark its hour.

Source: docs/contract.md#the-report and docs/storage.md#writing-a-report.
"""

from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from metering.aws.web import ApiError, Identity, require_customer, require_instance_key
from metering.core.contract import (
    LATEST_WINDOW,
    MAX_REPORT_BYTES,
    OLDEST_WINDOW,
    FieldError,
    Report,
    field_errors,
)
from metering.core.instants import format_instant
from metering.core.periods import MORE_THAN_A_PERIOD, is_past_retention
from metering.tables.reports import Outcome, Stored
from metering.tables.tables import Tables


@dataclass(frozen=True, slots=True)
class Accepted:
    """A report that was understood, and what became of it."""

    report: Report
    stored: Stored


def accept(body: bytes, identity: Identity, now: datetime, tables: Tables) -> Accepted:
    """Store a report and mark its hour dirty.

    The order matters: a marker written first could be cleared before its report lands. The marker is
    touched for a repeated or conflicting report too, because a first attempt may have died between the two
    steps.

    Raises
    ------
    ApiError
        With the contract's status and code, naming each bad field; nothing is stored then, but for a
        ``conflict``, where the stored report stays as it is.
    """
    require_instance_key(identity)
    report = read_report(body)
    require_customer(identity, report.customer_id)
    if report.instance_id != identity.instance_id:
        raise ApiError(403, "forbidden", "this key is not for that instance")
    check_window(report.window_start, now)
    check_period(report.customer_id, report.window_start, now, tables)
    stored = tables.reports.put(report)
    tables.markers.touch_dirty(report.customer_id, report.window_start)
    if stored.outcome is Outcome.CONFLICT:
        raise ApiError(
            409,
            "conflict",
            f"revision {report.revision} of this journal's hour is stored with another content",
            revision=stored.revision,
            digest=stored.digest,
        )
    return Accepted(report, stored)


def read_report(body: bytes) -> Report:
    """Read a report from a request's body.

    Raises
    ------
    ApiError
        413 ``too_large``; 422 ``not_json`` or ``invalid_report`` with every bad field.
    """
    if len(body) > MAX_REPORT_BYTES:
        raise ApiError(
            413, "too_large", f"a report has at most {MAX_REPORT_BYTES} bytes, this has {len(body)}"
        )
    try:
        return Report.model_validate_json(body)
    except ValidationError as error:
        if any(row["type"] == "json_invalid" for row in error.errors(include_url=False, include_input=False)):
            raise ApiError(422, "not_json", "the body is not a JSON document") from None
        details = field_errors(error)
        fields = ", ".join(detail.field for detail in details)
        raise ApiError(422, "invalid_report", f"wrong in the report: {fields}", details) from None


def check_window(window: datetime, now: datetime) -> None:
    """Refuse windows that the service cannot or must not take.

    Raises
    ------
    ApiError
        422 ``window_in_future`` or ``window_too_old``.
    """
    if window > now + LATEST_WINDOW:
        text = f"the window starts in the future; it is {format_instant(now)} here"
        raise ApiError(422, "window_in_future", text, [FieldError(field="window_start", message=text)])
    if window <= now - OLDEST_WINDOW:
        text = f"reports are kept for {OLDEST_WINDOW.days} days; this window is older"
        raise ApiError(422, "window_too_old", text, [FieldError(field="window_start", message=text)])


def check_period(customer_id: str, window: datetime, now: datetime, tables: Tables) -> None:
    """Refuse a window of a final period that began before everything that is still kept.

    Nothing would ever be made of it: late usage of such a period is worked out no more. Windows that no such
    period can hold ask for no period.

    Raises
    ------
    ApiError
        422 ``window_too_old``.
    """
    if window > now - OLDEST_WINDOW + MORE_THAN_A_PERIOD:
        return
    period = tables.customers.final_period_at(customer_id, window)
    if period is not None and is_past_retention(period.span, now):
        begun = format_instant(period.start)
        text = f"the window's period is invoiced, and began more than {OLDEST_WINDOW.days} days ago: {begun}"
        raise ApiError(422, "window_too_old", text, [FieldError(field="window_start", message=text)])
