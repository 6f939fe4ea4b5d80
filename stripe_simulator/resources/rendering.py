"""How Stripe shows whatever the account holds: each resource's own ``rendered``, chosen by what it is."""

from stripe_simulator.engine.billed import CreditNote, Invoice, InvoiceItem
from stripe_simulator.engine.objects import Customer, Meter, Price, Product, StripeObject
from stripe_simulator.engine.state import Json, State
from stripe_simulator.engine.subscribed import Schedule, Subscription
from stripe_simulator.resources import (
    credit_notes,
    customers,
    invoice_items,
    invoice_json,
    meters,
    prices,
    products,
    schedule_json,
    subscription_json,
)


def rendered(state: State, shown: StripeObject, now: int) -> Json:  # noqa: PLR0911 - one a resource
    """An object as Stripe answers it at an instant (epoch seconds): an open draft changes with its usage."""
    match shown:
        case Product():
            return products.rendered(shown)
        case Price():
            return prices.rendered(shown)
        case Customer():
            return customers.rendered(shown)
        case Meter():
            return meters.rendered(shown)
        case Subscription():
            return subscription_json.rendered(state, shown)
        case Schedule():
            return schedule_json.rendered(state, shown, now)
        case Invoice():
            return invoice_json.rendered(state, shown, now)
        case InvoiceItem():
            return invoice_items.rendered(shown)
        case CreditNote():
            return credit_notes.rendered(state, shown)
