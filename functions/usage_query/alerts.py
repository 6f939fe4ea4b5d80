"""The alerts that a period's page shows."""

from collections.abc import Iterable

from metering.core import answers
from metering.core.accounts import BillingPeriod
from metering.core.alerts import Alert


def alerts_of(told: Iterable[Alert], billing: BillingPeriod) -> list[answers.ToldAlert]:
    """Return the alerts of a period, newest first: those about it, and the silences that fell into it."""
    ours = [
        alert
        for alert in told
        if alert.period == billing.start or (alert.period is None and billing.start <= alert.at < billing.end)
    ]
    return [
        answers.ToldAlert(
            id=alert.alert_id,
            kind=alert.kind,
            meter=alert.meter,
            threshold=alert.threshold,
            message=alert.message,
            at=alert.at,
        )
        for alert in sorted(ours, key=lambda alert: (alert.at, alert.key), reverse=True)
    ]
