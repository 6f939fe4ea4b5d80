"""Pages for people: what the account holds, and an invoice."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from stripe_simulator.engine.state import Json
from stripe_simulator.protocol.amounts import money
from stripe_simulator.serving.contents import contents
from stripe_simulator.serving.simulator import Simulator

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #ddd }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
p.note { color: #666 }
"""
_NEWEST = 50


def routes(simulator: Simulator) -> list[Route]:
    """The pages of a simulator."""

    async def overview(_: Request) -> HTMLResponse:
        now = simulator.clock.now()
        simulator.account.advance(now)
        return HTMLResponse(_overview(contents(simulator.account.state, now)))

    async def invoice(request: Request) -> HTMLResponse:
        shown = contents(simulator.account.state, simulator.clock.now())
        for one in shown["invoices"]:
            if one["id"] == request.path_params["id"]:
                return HTMLResponse(_invoice(one))
        return HTMLResponse(_document("No such invoice", "<p>No such invoice.</p>"), 404)

    return [Route("/", overview), Route("/invoices/{id}", invoice)]


def _overview(shown: Json) -> str:
    names = {customer["id"]: customer.get("name") or customer["id"] for customer in shown["customers"]}
    events = list(reversed(shown["meter_events"]))[:_NEWEST]
    return _document(
        "Stripe simulator",
        f"<p class=note>Not Stripe: a simulator on this machine. Its time is {_instant(shown['now'])}.</p>"
        + _table(
            "Customers",
            ["Customer", "Name", "Created"],
            [
                [one["id"], one["name"] or "", _instant(one["created"])]
                for one in shown["customers"]
                if "deleted" not in one
            ],
        )
        + _table(
            "Invoices",
            ["Invoice", "Customer", "Status", "Reason", "Created", "Total"],
            [
                [
                    _Link(f"/invoices/{one['id']}", one["id"]),
                    names[one["customer"]],
                    one["status"],
                    one["billing_reason"],
                    _instant(one["created"]),
                    money(one["total"], one["currency"]),
                ]
                for one in reversed(shown["invoices"])
            ],
        )
        + _table(
            "Usage",
            ["Meter", "Customer", "Events that count", "Total"],
            [
                [one["event_name"], names.get(one["customer"], ""), str(len(one["events"])), one["total"]]
                for one in shown["usage"]
            ],
        )
        + _table(
            "Meters",
            ["Meter", "Event name", "Formula", "Window", "Status"],
            [
                [
                    one["id"],
                    one["event_name"],
                    one["default_aggregation"]["formula"],
                    one["event_time_window"] or "none",
                    one["status"],
                ]
                for one in shown["meters"]
            ],
        )
        + _table(
            f"The newest {_NEWEST} meter events",
            ["Received", "Identifier", "Event name", "Customer", "Of", "Value"],
            [
                [
                    _instant(event["created"]),
                    event["identifier"],
                    event["event_name"],
                    names.get(event["payload"].get("stripe_customer_id", ""), ""),
                    _instant(event["timestamp"]),
                    event["payload"].get("value", ""),
                ]
                for event in events
            ],
        ),
    )


def _invoice(shown: Json) -> str:
    lines = [
        [line["description"], line["quantity_decimal"], money(line["amount"], line["currency"])]
        for line in shown["lines"]["data"]
    ]
    more = "<p class=note>More lines follow.</p>" if shown["lines"]["has_more"] else ""
    heading = f"Invoice {shown['number'] or shown['id']}"
    return _document(
        heading,
        f"<p>{escape(shown['customer_name'] or shown['customer'])}, {shown['status']}, "
        f"{_instant(shown['period_start'])} to {_instant(shown['period_end'])}</p>"
        + _table("Lines", ["Line", "Quantity", "Amount"], lines)
        + more
        + f"<p><strong>Total {money(shown['total'], shown['currency'])}</strong></p>"
        + "<p><a href='/'>All</a></p>",
    )


class _Link:
    def __init__(self, target: str, words: str) -> None:
        self._target, self._words = target, words

    def html(self) -> str:
        return f"<a href='{escape(self._target)}'>{escape(self._words)}</a>"


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | _Link]]) -> str:
    head = "".join(f"<th{_alignment(column)}>{escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_alignment(column)}>{cell.html() if isinstance(cell, _Link) else escape(cell)}</td>"
            for column, cell in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    none = "" if rows else "<p class=note>None yet.</p>"
    return f"<h2>{escape(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{none}"


def _alignment(column: str) -> str:
    return " class=number" if column in {"Total", "Amount", "Quantity", "Value"} else ""


def _document(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
