"""The deployed stack that the operator works on: its tables, found through the stack's outputs."""

from dataclasses import dataclass
from functools import cached_property

import boto3
import botocore.exceptions

from metering.tables.client import RETRIES, dynamodb
from metering.tables.customers import Customers
from metering.tables.hours import Hours
from metering.tables.markers import Markers
from metering.tables.reports import Reports
from ops.errors import OperatorError


@dataclass(frozen=True)
class Deployment:
    """One stage's stack, by its CloudFormation name; credentials and region are boto3's own."""

    stack: str

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs.

        Raises
        ------
        OperatorError
            When the stack cannot be found or read.
        """
        client = boto3.client("cloudformation", config=RETRIES)
        try:
            stacks = client.describe_stacks(StackName=self.stack)["Stacks"]
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            raise OperatorError(f"cannot read the stack {self.stack!r}: {error}") from None
        return {row["OutputKey"]: row["OutputValue"] for row in stacks[0].get("Outputs", [])}

    @property
    def customers(self) -> Customers:
        """The stack's Customers table."""
        return Customers(dynamodb(), self.outputs["CustomersTable"])

    @property
    def markers(self) -> Markers:
        """The stack's Markers table."""
        return Markers(dynamodb(), self.outputs["MarkersTable"])

    @property
    def reports(self) -> Reports:
        """The stack's Reports table."""
        return Reports(dynamodb(), self.outputs["ReportsTable"])

    @property
    def hours(self) -> Hours:
        """The stack's Hours table."""
        return Hours(dynamodb(), self.outputs["HoursTable"])
