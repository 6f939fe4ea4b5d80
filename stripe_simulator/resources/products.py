"""Products: POST and GET /v1/products."""

from stripe_simulator.engine import lookup
from stripe_simulator.engine.objects import Product
from stripe_simulator.engine.state import Asked, Json, State
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.pagination import page
from stripe_simulator.protocol.parameters import (
    EXPAND,
    PAGING,
    Fields,
    Flag,
    Metadata,
    Parameters,
    Record,
    Text,
    Words,
    merged_metadata,
)
from stripe_simulator.resources.endpoint import Endpoint

_FIELDS: Fields = {
    "active": Flag(),
    "description": Text(),
    "metadata": Metadata(),
    "unit_label": Text(longest=12),
}
_NEW: Fields = {**_FIELDS, "id": Text(), "name": Text()}
# what a price may say of its product: all but the description
PRODUCT_DATA = Record({name: kind for name, kind in _NEW.items() if name != "description"}, ("name",))


def make(state: State, parameters: Parameters, now: int) -> Product:
    """A new product, kept in the state; its id may be the caller's own."""
    identity = parameters.get("id") or state.new_id("prod")
    if identity in state.products:
        raise StripeRefusalError(
            f"Product already exists with id {identity}.", code="resource_already_exists", param="id"
        )
    product = Product(
        id=identity,
        name=parameters["name"],
        created=now,
        updated=now,
        active=parameters.get("active", True),
        description=parameters.get("description"),
        unit_label=parameters.get("unit_label"),
        metadata=merged_metadata({}, parameters.get("metadata", {})),
    )
    state.products[identity] = product
    return product


def rendered(product: Product) -> Json:
    """A product as Stripe answers it."""
    return {
        "id": product.id,
        "object": "product",
        "active": product.active,
        "created": product.created,
        "default_price": None,
        "description": product.description,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": product.metadata,
        "name": product.name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "tax_details": None,
        "type": "service",
        "unit_label": product.unit_label,
        "updated": product.updated,
        "url": None,
    }


def _create(state: State, asked: Asked) -> Json:
    return rendered(make(state, asked.parameters, asked.now))


def _retrieve(state: State, asked: Asked) -> Json:
    return rendered(lookup.product(state, asked.id))


def _update(state: State, asked: Asked) -> Json:
    product = lookup.product(state, asked.id)
    for name in ("name", "active", "description", "unit_label"):
        if name in asked.parameters:
            setattr(product, name, asked.parameters[name])
    if "metadata" in asked.parameters:
        product.metadata = merged_metadata(product.metadata, asked.parameters["metadata"])
    product.updated = asked.now
    return rendered(product)


def _list(state: State, asked: Asked) -> Json:
    wanted = asked.parameters
    found = [
        rendered(product)
        for product in reversed(state.products.values())
        if product.active == wanted.get("active", product.active)
        and product.id in wanted.get("ids", [product.id])
    ]
    return page(found, wanted, "/v1/products")


ENDPOINTS = (
    Endpoint("POST", "/v1/products", Record({**_NEW, **EXPAND}, ("name",)), _create),
    Endpoint("GET", "/v1/products", Record({**PAGING, "active": Flag(), "ids": Words()}), _list),
    Endpoint("GET", "/v1/products/{id}", Record(EXPAND), _retrieve),
    Endpoint("POST", "/v1/products/{id}", Record({**_FIELDS, **EXPAND, "name": Text()}), _update),
)
