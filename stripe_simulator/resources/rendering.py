"""How Stripe shows whatever the account holds: each resource's own ``rendered``, chosen by what it is."""

from stripe_simulator.engine.objects import (
    Customer,
    Invoice,
    InvoiceItem,
    Meter,
    Price,
    Product,
    Schedule,
    StripeObject,
    Subscription,
)
from stripe_simulator.engine.state import Json, State
from stripe_simulator.resources import (
    customers,
    invoice_items,
    invoices,
    meters,
    prices,
    products,
    subscription_schedules,
    subscriptions,
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
            return subscriptions.rendered(state, shown)
        case Schedule():
            return subscription_schedules.rendered(shown, now)
        case Invoice():
            return invoices.rendered(state, shown, now)
        case InvoiceItem():
            return invoice_items.rendered(shown)
