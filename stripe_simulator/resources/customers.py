"""Customers: POST, GET and DELETE /v1/customers."""

from stripe_simulator.engine import lookup
from stripe_simulator.engine.ending import end
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.objects import Customer
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import no_such
from stripe_simulator.protocol.pagination import page, within
from stripe_simulator.protocol.parameters import (
    EXPAND,
    PAGING,
    SPAN,
    Fields,
    Metadata,
    Record,
    Text,
    merged_metadata,
)
from stripe_simulator.resources.endpoint import Endpoint

_TEXTS = ("name", "email", "phone", "description")
_FIELDS: Fields = {
    **{name: Text(may_be_empty=True) for name in _TEXTS},
    "invoice_settings": Record({"default_payment_method": Text(may_be_empty=True)}),
    "metadata": Metadata(),
    **EXPAND,
}


def rendered(customer: Customer) -> Json:
    """A customer as Stripe answers it; of one that was deleted the id alone."""
    if customer.deleted:
        return {"id": customer.id, "object": "customer", "deleted": True}
    return {
        "id": customer.id,
        "object": "customer",
        "address": None,
        "balance": customer.balance,
        "created": customer.created,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": customer.description,
        "discount": None,
        "email": customer.email,
        "invoice_prefix": customer.id[-8:],
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": customer.payment_method,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": customer.metadata,
        "name": customer.name,
        "next_invoice_sequence": 1,
        "phone": customer.phone,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def _create(state: State, asked: Asked) -> Json:
    customer = Customer(id=state.new_id("cus"), created=asked.now)
    state.customers[customer.id] = customer
    _apply(customer, asked)
    record(state, "customer.created", customer, asked.now, asked)
    return rendered(customer)


def _update(state: State, asked: Asked) -> Json:
    customer = lookup.customer(state, asked.id)
    _apply(customer, asked)
    record(state, "customer.updated", customer, asked.now, asked)
    return rendered(customer)


def _apply(customer: Customer, asked: Asked) -> None:
    for name in _TEXTS:
        if name in asked.parameters:
            setattr(customer, name, asked.parameters[name] or None)
    settings = asked.parameters.get("invoice_settings", {})
    if "default_payment_method" in settings:
        customer.payment_method = settings["default_payment_method"] or None
    if "metadata" in asked.parameters:
        customer.metadata = merged_metadata(customer.metadata, asked.parameters["metadata"])


def _retrieve(state: State, asked: Asked) -> Json:
    if asked.id in state.customers:
        return rendered(state.customers[asked.id])
    raise no_such("customer", asked.id)


def _delete(state: State, asked: Asked) -> Json:
    """A customer goes for good, its subscriptions end at once without a final invoice; its invoices stay."""
    customer = lookup.customer(state, asked.id)
    for subscription in state.subscriptions.values():
        if subscription.customer == customer.id and subscription.living:
            end(state, subscription, asked.now, asked)
    record(state, "customer.deleted", customer, asked.now, asked)
    customer.deleted = True
    for item in [one for one in state.invoice_items.values() if one.customer == customer.id]:
        if item.invoice is None:
            del state.invoice_items[item.id]
    return rendered(customer)


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        rendered(customer)
        for customer in reversed(state.customers.values())
        if not customer.deleted
        and wanted.get("email", customer.email) == customer.email
        and within(customer.created, wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/customers")


ENDPOINTS = (
    Endpoint("POST", "/v1/customers", Record(_FIELDS), _create),
    Endpoint("GET", "/v1/customers", Record({**PAGING, "email": Text(), "created": SPAN}), _list),
    Endpoint("GET", "/v1/customers/{id}", Record(EXPAND), _retrieve),
    Endpoint("POST", "/v1/customers/{id}", Record(_FIELDS), _update),
    Endpoint("DELETE", "/v1/customers/{id}", Record({}), _delete),
)
