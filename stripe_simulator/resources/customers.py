"""Customers: POST and GET /v1/customers."""

from stripe_simulator.engine import lookup
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.objects import Customer
from stripe_simulator.engine.state import Asked, Json, State
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
_FIELDS: Fields = {**{name: Text(may_be_empty=True) for name in _TEXTS}, "metadata": Metadata(), **EXPAND}


def rendered(customer: Customer) -> Json:
    """A customer as Stripe answers it."""
    return {
        "id": customer.id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": customer.created,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": customer.description,
        "discount": None,
        "email": customer.email,
        "invoice_prefix": customer.id[-8:],
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": customer.metadata,
        "name": customer.name,
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
    if "metadata" in asked.parameters:
        customer.metadata = merged_metadata(customer.metadata, asked.parameters["metadata"])


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(lookup.customer(state, asked.id))


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        rendered(customer)
        for customer in reversed(state.customers.values())
        if wanted.get("email", customer.email) == customer.email
        and within(customer.created, wanted.get("created", {}))
    ]
    return page(found, wanted, "/v1/customers")


ENDPOINTS = (
    Endpoint("POST", "/v1/customers", Record(_FIELDS), _create),
    Endpoint("GET", "/v1/customers", Record({**PAGING, "email": Text(), "created": SPAN}), _list),
    Endpoint("GET", "/v1/customers/{id}", Record(EXPAND), _retrieve),
    Endpoint("POST", "/v1/customers/{id}", Record(_FIELDS), _update),
)
