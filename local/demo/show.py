"""The demo's tables for people."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from local.demo.figures import MeterRow, MetricRow
from metering.core.exact import plain

_YES, _NO = "[green]yes[/]", "[bold red]NO[/]"


def show_metrics(console: Console, rows: Sequence[MetricRow]) -> None:
    """Print sources against reports and hours."""
    table = Table(title="From the sources to the hours")
    for name in ("metric", "what"):
        table.add_column(name)
    for name in ("source's own truth", "reports", "hours"):
        table.add_column(name, justify="right")
    table.add_column("agree")
    for row in rows:
        truth = f"{row.truth:,}" if isinstance(row.truth, int) else _span(row.truth)
        figures = (truth, f"{row.reports:,}", f"{row.hours:,}")
        table.add_row(row.metric, row.shown, *figures, _YES if row.agrees else _NO)
    console.print(table)


def show_meters(console: Console, rows: Sequence[MeterRow]) -> None:
    """Print hours against ledger, Stripe and the estimate."""
    table = Table(title="From the hours to the invoice")
    table.add_column("meter")
    for name in ("contributions", "ledger", "Stripe's summary", "preview: quantity", "preview", "estimate"):
        table.add_column(name, justify="right")
    table.add_column("agree")
    for row in rows:
        units = (row.contributions, row.ledger, row.summary, row.invoiced)
        amounts = (_dollars(row.invoice_amount), _dollars(row.estimate_amount))
        table.add_row(row.meter, *map(plain, units), *amounts, _YES if row.agrees else _NO)
    console.print(table)


def _span(bounds: range) -> str:
    return f"{bounds.start:,} .. {bounds.stop - 1:,}"


def _dollars(amount: Decimal) -> str:
    return f"${amount:.2f}"
