"""Telling alerts: the bus for programs, the topic for the operator, e-mail for the customer.

Everything is told at least once: receivers know an alert by its id. Source: docs/billing.md#alerts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formataddr
from itertools import batched
from typing import Any

from metering.aws.clients import Clients
from metering.aws.observability import count, logger
from metering.core.alerts import Alert

EVENT_SOURCE = "zemfyre.billing"
DETAIL_TYPE = "alert"
_BATCH = 10
"""The most entries that PutEvents and PublishBatch take in one call."""


class NotPublishedError(Exception):
    """Some channel did not take an alert; it stays pending and is told again."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """The three channels: a bus by name, a topic by ARN, and the sender of e-mails; "" sends none."""

    clients: Clients
    bus: str
    topic_arn: str
    sender: str = ""

    def publish(self, alerts: Sequence[Alert], address: str | None) -> None:
        """Tell alerts of one customer on every channel; the customer gets one e-mail for all of them.

        Raises
        ------
        NotPublishedError
            When the bus or the topic did not take an alert. What was told before stays told.
        """
        for batch in batched(alerts, _BATCH, strict=False):
            self._to_bus(batch)
            self._to_topic(batch)
        if alerts and address and self.sender:
            self._by_email(alerts, address)

    def _to_bus(self, alerts: Sequence[Alert]) -> None:
        answer = self.clients("events").put_events(
            Entries=[
                {
                    "EventBusName": self.bus,
                    "Source": EVENT_SOURCE,
                    "DetailType": DETAIL_TYPE,
                    "Time": alert.at,
                    "Detail": json.dumps(event_detail(alert), sort_keys=True),
                }
                for alert in alerts
            ]
        )
        for alert, entry in zip(alerts, answer["Entries"], strict=True):
            if "ErrorCode" in entry:
                raise NotPublishedError(f"{alert.alert_id} on the bus: {entry['ErrorCode']}")

    def _to_topic(self, alerts: Sequence[Alert]) -> None:
        answer = self.clients("sns").publish_batch(
            TopicArn=self.topic_arn,
            PublishBatchRequestEntries=[
                {
                    "Id": str(number),
                    "Subject": f"Zemfyre billing: {alert.kind.replace('_', ' ')}, {alert.customer_id}",
                    "Message": f"{alert.message}\n\nCustomer {alert.customer_id}, alert {alert.alert_id}",
                    # For the filters of subscriptions.
                    "MessageAttributes": {
                        name: {"DataType": "String", "StringValue": value}
                        for name, value in (
                            ("alert_id", alert.alert_id),
                            ("customer_id", alert.customer_id),
                            ("kind", alert.kind),
                        )
                    },
                }
                for number, alert in enumerate(alerts)
            ],
        )
        for entry in answer.get("Failed", ()):
            raise NotPublishedError(f"{alerts[int(entry['Id'])].alert_id} to the topic: {entry['Code']}")

    def _by_email(self, alerts: Sequence[Alert], address: str) -> None:
        client = self.clients("sesv2")
        known = client.exceptions
        try:
            client.send_email(
                FromEmailAddress=self.sender,
                Destination={"ToAddresses": [address]},
                Content={
                    "Simple": {
                        "Subject": {"Data": _subject(alerts)},
                        "Body": {"Text": {"Data": "\n\n".join(alert.message for alert in alerts) + "\n"}},
                    }
                },
            )
        except (
            known.MessageRejected,
            known.BadRequestException,
            known.NotFoundException,
            known.MailFromDomainNotVerifiedException,
            known.SendingPausedException,
            known.AccountSuspendedException,
        ) as refusal:
            # Sending it again would be refused again, and tell the other channels every hour anew.
            count("alert_emails_refused")
            logger.error(
                "SES refused a customer's e-mail",
                extra={"customer_id": alerts[0].customer_id},
                exc_info=refusal,
            )


def sender_of(address: str, name: str = "") -> str:
    """Return what e-mails come from: an address, under a display name if there is one; "" sends none."""
    return formataddr((name, address)) if address else ""


def event_detail(alert: Alert) -> dict[str, Any]:
    """Return an alert as the bus carries it: its id and its fields, instants as text, None left out."""
    return {"alert_id": alert.alert_id} | alert.model_dump(mode="json", exclude_none=True)


def _subject(alerts: Sequence[Alert]) -> str:
    return "Your usage of Zemfyre" if len(alerts) == 1 else f"Your usage of Zemfyre: {len(alerts)} messages"
