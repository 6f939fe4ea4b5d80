"""The ``late#`` items of the Customers table: usage billed after its period's invoice was final.

Keys: ``pk`` = customer, ``sk`` = ``late#<period start>#<n>``; ``j`` holds the record as JSON. An item is the
intent, written before anything is asked of Stripe, and found again there by its id in the invoice item's
metadata. Source: design page "billing", section "Late usage".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metering.core.contract import format_instant
from metering.core.late_usage import LateItem
from metering.tables.client import query_prefix

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class LateItems:
    """Typed access to the ``late#`` items."""

    client: DynamoDBClient
    table: str

    def of_period(self, customer: str, period_start: datetime) -> list[LateItem]:
        """A period's items in the order of their numbers, strongly consistent."""
        prefix = f"late#{format_instant(period_start)}#"
        items = query_prefix(self.client, self.table, customer, prefix)
        return [LateItem.model_validate_json(item["j"]["S"]) for item in items]

    def put(self, item: LateItem) -> bool:
        """Store an intent unless its number is taken; tell whether it was new."""
        try:
            self.client.put_item(
                TableName=self.table,
                Item={
                    "pk": {"S": item.customer_id},
                    "sk": {"S": f"late#{format_instant(item.period_start)}#{item.number:06d}"},
                    "j": {"S": item.model_dump_json(exclude_defaults=True)},
                },
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True
