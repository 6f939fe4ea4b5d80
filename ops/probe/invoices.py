"""Checks of what becomes of an invoice: paid, void, uncollectible, credited; and of what is on it."""

from typing import Any

from ops.probe.check import Check, Finding, held, refused
from ops.probe.sandbox import Sandbox
from ops.stripe_account import DAYS_UNTIL_DUE

_LINES = 11
_FIRST_PAGE = 10
_AMOUNT = 100
_CREDIT = 40


def _item(sandbox: Sandbox, **more: Any) -> Any:
    params: Any = {"customer": sandbox.customer, "currency": "usd", **more}
    return sandbox.client.v1.invoice_items.create(params)


def _draft(sandbox: Sandbox, **more: Any) -> Any:
    params: Any = {
        "customer": sandbox.customer,
        "collection_method": "send_invoice",
        "days_until_due": DAYS_UNTIL_DUE,
        "auto_advance": False,
        "pending_invoice_items_behavior": "include",
        **more,
    }
    return sandbox.client.v1.invoices.create(params)


def _open(sandbox: Sandbox) -> Any:
    """A final invoice of one dollar that is sent."""
    fresh = sandbox.other()
    _item(fresh, amount=_AMOUNT)
    return sandbox.client.v1.invoices.finalize_invoice(_draft(fresh).id)


def _void(sandbox: Sandbox) -> Finding:
    invoice = sandbox.client.v1.invoices.void_invoice(_open(sandbox).id)
    amounts = [line.amount for line in invoice.lines.data]
    good = invoice.status == "void" and amounts == [_AMOUNT]
    return held(good, f"{invoice.status}, lines {amounts}, total {invoice.total}")


def _uncollectible(sandbox: Sandbox) -> Finding:
    invoices = sandbox.client.v1.invoices
    paid = invoices.mark_uncollectible(_open(sandbox).id)
    voided = invoices.mark_uncollectible(_open(sandbox).id)
    after = (
        invoices.pay(paid.id, {"paid_out_of_band": True}).status,
        invoices.void_invoice(voided.id).status,
    )
    good = (paid.status, *after) == ("uncollectible", "paid", "void")
    return held(good, f"{paid.status}, then {after[0]}, {after[1]}")


def _credited(sandbox: Sandbox) -> Finding:
    invoice = _open(sandbox)
    sandbox.client.v1.credit_notes.create({"invoice": invoice.id, "amount": _CREDIT})
    after = sandbox.client.v1.invoices.retrieve(invoice.id)
    good = (after.amount_remaining, after.total) == (_AMOUNT - _CREDIT, _AMOUNT) and _same_lines(
        after, invoice
    )
    return held(good, f"remaining {after.amount_remaining}, total {after.total}")


def _same_lines(one: Any, other: Any) -> bool:
    return [line.amount for line in one.lines.data] == [line.amount for line in other.lines.data]


def _draft_not_void(sandbox: Sandbox) -> Finding:
    fresh = sandbox.other()
    _item(fresh, amount=_AMOUNT)
    draft = _draft(fresh)
    return refused(lambda: sandbox.client.v1.invoices.void_invoice(draft.id))


def _draft_without_advance(sandbox: Sandbox) -> Finding:
    fresh = sandbox.other()
    _item(fresh, amount=_AMOUNT)
    draft = _draft(fresh)
    good = draft.auto_advance is False and draft.automatically_finalizes_at is None
    return held(good, f"auto_advance {draft.auto_advance}, finalised at {draft.automatically_finalizes_at}")


def _deleted_item(sandbox: Sandbox) -> Finding:
    item = _item(sandbox.other(), amount=_AMOUNT)
    sandbox.client.v1.invoice_items.delete(item.id)
    return refused(lambda: sandbox.client.v1.invoice_items.retrieve(item.id), 404)


def _ten_lines(sandbox: Sandbox) -> Finding:
    fresh = sandbox.other()
    for number in range(_LINES):
        _item(fresh, amount=number + 1)
    lines = _draft(fresh).lines
    good = len(lines.data) == _FIRST_PAGE and lines.has_more
    return held(good, f"{len(lines.data)} of {_LINES}, has_more {lines.has_more}")


def _rounded(sandbox: Sandbox) -> Finding:
    item = _item(sandbox.other(), quantity_decimal="0.05", unit_amount_decimal="10")
    return held(item.amount == 1, f"half a cent is {item.amount}")


def _yen(sandbox: Sandbox) -> Finding:
    fee = sandbox.client.v1.prices.create(sandbox.fee(currency="jpy", unit_amount=2900))
    subscription = sandbox.other().subscribe(fee.id)
    invoice = sandbox.client.v1.invoices.retrieve(subscription["latest_invoice"])
    seen = f"{invoice.currency} {invoice.total}"
    return held(seen == "jpy 2900", seen)


CHECKS = (
    Check("a void invoice keeps its lines and its total", _void),
    Check("an uncollectible invoice can still be paid or made void", _uncollectible),
    Check("a credit note changes what remains to be paid, neither total nor lines", _credited),
    Check("a draft is not made void", _draft_not_void),
    Check("a draft that does not advance says no time of finalisation", _draft_without_advance),
    Check("a deleted invoice item is a 404", _deleted_item),
    Check("an invoice holds ten lines and has more behind them", _ten_lines),
    Check("half a cent is rounded up", _rounded),
    Check("amounts of yen are whole yen, not hundredths", _yen),
)
