"""All tables of one deployment, each made when it is first asked for.

A module's import is part of a cold start, so a table's module is imported with the table. Source:
docs/storage.md#tables.
"""
# ruff: noqa: PLC0415  see above

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

    from metering.tables.adjustments import Adjustments
    from metering.tables.alerts import Alerts
    from metering.tables.audit import Audit
    from metering.tables.closings import Closings
    from metering.tables.customers import Customers
    from metering.tables.hours import Hours
    from metering.tables.instances import Instances
    from metering.tables.late import LateItems
    from metering.tables.ledger import Ledger
    from metering.tables.markers import Markers
    from metering.tables.period_invoices import PeriodInvoices
    from metering.tables.reports import Reports
    from metering.tables.settlements import Settlements

TABLES = ("customers", "reports", "markers", "hours", "ledger", "audit")
"""The DynamoDB tables; instances, periods and their records, alerts and the calendar lie in Customers."""


class NoTableError(LookupError):
    """Something asked for a table whose name this process was not given; the text names the variable."""


class Tables:
    """Typed access to every table.

    Parameters
    ----------
    client
        One client for all.
    names
        The tables' names in DynamoDB, by setting: ``{"reports_table": "zemfyre-…"}``. Those that are absent
        fail when they are asked for.
    """

    def __init__(self, client: DynamoDBClient, names: Mapping[str, str]) -> None:
        self._client = client
        self._names = names

    @classmethod
    def plain(cls, client: DynamoDBClient) -> Tables:
        """Return the tables of a DynamoDB in which each has its own plain name, as tests and benches do."""
        return cls(client, {f"{name}_table": name for name in TABLES})

    def load(self, *tables: str) -> None:
        """Make tables now, so that a cold start loads them and not the first request."""
        for table in tables:
            getattr(self, table)

    def _name(self, table: str) -> str:
        if not (name := self._names.get(f"{table}_table")):
            raise NoTableError(f"{table.upper()}_TABLE is not set: this process has no {table} table")
        return name

    @cached_property
    def customers(self) -> Customers:
        """Profiles, periods and the directory of the fleet."""
        from metering.tables.customers import Customers

        return Customers(self._client, self._name("customers"))

    @cached_property
    def instances(self) -> Instances:
        """Instances and the digests of their keys, in Customers."""
        from metering.tables.instances import Instances

        return Instances(self._client, self._name("customers"))

    @cached_property
    def closings(self) -> Closings:
        """The calendar of closings, in Customers."""
        from metering.tables.closings import Closings

        return Closings(self._client, self._name("customers"))

    @cached_property
    def late(self) -> LateItems:
        """The late usage billed, in Customers."""
        from metering.tables.late import LateItems

        return LateItems(self._client, self._name("customers"))

    @cached_property
    def settlements(self) -> Settlements:
        """What operators settled of periods without an invoice, in Customers."""
        from metering.tables.settlements import Settlements

        return Settlements(self._client, self._name("customers"))

    @cached_property
    def adjustments(self) -> Adjustments:
        """What operators added to periods' quantities or took from them, in Customers."""
        from metering.tables.adjustments import Adjustments

        return Adjustments(self._client, self._name("customers"))

    @cached_property
    def invoices(self) -> PeriodInvoices:
        """What invoices said of periods, in Customers."""
        from metering.tables.period_invoices import PeriodInvoices

        return PeriodInvoices(self._client, self._name("customers"))

    @cached_property
    def alerts(self) -> Alerts:
        """The alerts told, in Customers."""
        from metering.tables.alerts import Alerts

        return Alerts(self._client, self._name("customers"))

    @cached_property
    def reports(self) -> Reports:
        """The newest revision of every journal's hour."""
        from metering.tables.reports import Reports

        return Reports(self._client, self._name("reports"))

    @cached_property
    def markers(self) -> Markers:
        """What has changed and is still to be worked on."""
        from metering.tables.markers import Markers

        return Markers(self._client, self._name("markers"))

    @cached_property
    def hours(self) -> Hours:
        """Every customer's recomputed hours."""
        from metering.tables.hours import Hours

        return Hours(self._client, self._name("hours"))

    @cached_property
    def ledger(self) -> Ledger:
        """What was sent to Stripe."""
        from metering.tables.ledger import Ledger

        return Ledger(self._client, self._name("ledger"))

    @cached_property
    def audit(self) -> Audit:
        """What operators did; nobody's to read but people's."""
        from metering.tables.audit import Audit

        return Audit(self._client, self._name("audit"))
