"""The object that an id names, or Stripe's refusal that there is none.

``param`` is the parameter that held the id, ``id`` for the one in the call's path; the refusal names it and
takes its status from it (``protocol.errors.no_such``).
"""

from collections.abc import Mapping

from stripe_simulator.engine.billed import CreditNote, Invoice, InvoiceItem
from stripe_simulator.engine.objects import Customer, Meter, Price, Product
from stripe_simulator.engine.state import State
from stripe_simulator.engine.subscribed import Schedule, Subscription
from stripe_simulator.protocol.errors import no_such


def product(state: State, identity: str, param: str = "id") -> Product:
    """The product with an id."""
    return _held(state.products, "product", identity, param)


def price(state: State, identity: str, param: str = "id") -> Price:
    """The price with an id."""
    return _held(state.prices, "price", identity, param)


def customer(state: State, identity: str, param: str = "id") -> Customer:
    """The customer with an id; one that was deleted is none."""
    found = _held(state.customers, "customer", identity, param)
    if found.deleted:
        raise no_such("customer", identity, param)
    return found


def meter(state: State, identity: str, param: str = "id") -> Meter:
    """The meter with an id."""
    return _held(state.meters, "billing meter", identity, param)


def subscription(state: State, identity: str, param: str = "id") -> Subscription:
    """The subscription with an id, ended or not."""
    return _held(state.subscriptions, "subscription", identity, param)


def living_subscription(state: State, identity: str) -> Subscription:
    """A subscription that has not ended; an ended one is not there to be changed."""
    found = subscription(state, identity)
    if not found.living:
        raise no_such("subscription", identity)
    return found


def schedule(state: State, identity: str, param: str = "id") -> Schedule:
    """The subscription schedule with an id, ended or not."""
    return _held(state.schedules, "subscription schedule", identity, param)


def invoice(state: State, identity: str, param: str = "id") -> Invoice:
    """The invoice with an id; a preview is none."""
    return _held(state.invoices, "invoice", identity, param)


def invoice_item(state: State, identity: str, param: str = "id") -> InvoiceItem:
    """The invoice item with an id, on an invoice or still waiting for one."""
    return _held(state.invoice_items, "invoiceitem", identity, param)


def credit_note(state: State, identity: str, param: str = "id") -> CreditNote:
    """The credit note with an id, void or not."""
    return _held(state.credit_notes, "credit note", identity, param)


def _held[T](objects: Mapping[str, T], kind: str, identity: str, param: str) -> T:
    if identity not in objects:
        raise no_such(kind, identity, param)
    return objects[identity]
