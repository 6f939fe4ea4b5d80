"""Parameters have Stripe's names and forms; anything else is refused, nothing is ignored."""

import re
import sys
from collections.abc import Mapping

import pytest
import stripe
import stripe.params as sdk
import stripe.params.billing as sdk_billing
from stripe.params.v2 import core as sdk_core

from stripe_simulator.protocol.parameters import Record, Records
from stripe_simulator.resources.api import ENDPOINTS
from stripe_simulator.resources.endpoint import Endpoint
from tests.stripe_simulator.shop import Shop, loose

_SDK: Mapping[tuple[str, str], type] = {
    ("POST", "/v1/products"): sdk.ProductCreateParams,
    ("GET", "/v1/products"): sdk.ProductListParams,
    ("GET", "/v1/products/{id}"): sdk.ProductRetrieveParams,
    ("POST", "/v1/products/{id}"): sdk.ProductUpdateParams,
    ("POST", "/v1/prices"): sdk.PriceCreateParams,
    ("GET", "/v1/prices"): sdk.PriceListParams,
    ("GET", "/v1/prices/{id}"): sdk.PriceRetrieveParams,
    ("POST", "/v1/prices/{id}"): sdk.PriceUpdateParams,
    ("POST", "/v1/customers"): sdk.CustomerCreateParams,
    ("GET", "/v1/customers"): sdk.CustomerListParams,
    ("GET", "/v1/customers/{id}"): sdk.CustomerRetrieveParams,
    ("POST", "/v1/customers/{id}"): sdk.CustomerUpdateParams,
    ("DELETE", "/v1/customers/{id}"): sdk.CustomerDeleteParams,
    ("POST", "/v1/billing/meters"): sdk_billing.MeterCreateParams,
    ("GET", "/v1/billing/meters"): sdk_billing.MeterListParams,
    ("GET", "/v1/billing/meters/{id}"): sdk_billing.MeterRetrieveParams,
    ("POST", "/v1/billing/meters/{id}"): sdk_billing.MeterUpdateParams,
    ("POST", "/v1/billing/meters/{id}/deactivate"): sdk_billing.MeterDeactivateParams,
    ("POST", "/v1/billing/meters/{id}/reactivate"): sdk_billing.MeterReactivateParams,
    ("GET", "/v1/billing/meters/{id}/event_summaries"): sdk_billing.MeterEventSummaryListParams,
    ("POST", "/v1/billing/meter_events"): sdk_billing.MeterEventCreateParams,
    ("POST", "/v1/subscriptions"): sdk.SubscriptionCreateParams,
    ("GET", "/v1/subscriptions"): sdk.SubscriptionListParams,
    ("GET", "/v1/subscriptions/{id}"): sdk.SubscriptionRetrieveParams,
    ("POST", "/v1/subscriptions/{id}"): sdk.SubscriptionUpdateParams,
    ("DELETE", "/v1/subscriptions/{id}"): sdk.SubscriptionCancelParams,
    ("POST", "/v1/subscriptions/{id}/pause"): sdk.SubscriptionPauseParams,
    ("POST", "/v1/subscriptions/{id}/resume"): sdk.SubscriptionResumeParams,
    ("GET", "/v1/subscription_items"): sdk.SubscriptionItemListParams,
    ("POST", "/v1/subscription_schedules"): sdk.SubscriptionScheduleCreateParams,
    ("GET", "/v1/subscription_schedules"): sdk.SubscriptionScheduleListParams,
    ("GET", "/v1/subscription_schedules/{id}"): sdk.SubscriptionScheduleRetrieveParams,
    ("POST", "/v1/subscription_schedules/{id}"): sdk.SubscriptionScheduleUpdateParams,
    ("POST", "/v1/subscription_schedules/{id}/release"): sdk.SubscriptionScheduleReleaseParams,
    ("POST", "/v1/subscription_schedules/{id}/cancel"): sdk.SubscriptionScheduleCancelParams,
    ("POST", "/v1/invoices/create_preview"): sdk.InvoiceCreatePreviewParams,
    ("POST", "/v1/invoices"): sdk.InvoiceCreateParams,
    ("GET", "/v1/invoices"): sdk.InvoiceListParams,
    ("GET", "/v1/invoices/{id}"): sdk.InvoiceRetrieveParams,
    ("POST", "/v1/invoices/{id}"): sdk.InvoiceUpdateParams,
    ("GET", "/v1/invoices/{id}/lines"): sdk.InvoiceLineItemListParams,
    ("POST", "/v1/invoices/{id}/finalize"): sdk.InvoiceFinalizeInvoiceParams,
    ("POST", "/v1/invoices/{id}/mark_uncollectible"): sdk.InvoiceMarkUncollectibleParams,
    ("POST", "/v1/invoices/{id}/pay"): sdk.InvoicePayParams,
    ("POST", "/v1/invoices/{id}/void"): sdk.InvoiceVoidInvoiceParams,
    ("DELETE", "/v1/invoices/{id}"): sdk.InvoiceDeleteParams,
    ("POST", "/v1/credit_notes"): sdk.CreditNoteCreateParams,
    ("GET", "/v1/credit_notes"): sdk.CreditNoteListParams,
    ("GET", "/v1/credit_notes/{id}"): sdk.CreditNoteRetrieveParams,
    ("POST", "/v1/credit_notes/{id}/void"): sdk.CreditNoteVoidCreditNoteParams,
    ("POST", "/v1/invoiceitems"): sdk.InvoiceItemCreateParams,
    ("GET", "/v1/invoiceitems"): sdk.InvoiceItemListParams,
    ("GET", "/v1/invoiceitems/{id}"): sdk.InvoiceItemRetrieveParams,
    ("DELETE", "/v1/invoiceitems/{id}"): sdk.InvoiceItemDeleteParams,
    ("GET", "/v1/events"): sdk.EventListParams,
    ("GET", "/v1/events/{id}"): sdk.EventRetrieveParams,
    ("GET", "/v2/core/events"): sdk_core.EventListParams,
    ("GET", "/v2/core/events/{id}"): sdk_core.EventRetrieveParams,
}
# the cursor inside Stripe's own next_page_url, which no caller writes
_NOT_THE_CALLERS = {("/v2/core/events", "page")}


def _below(typed: type, name: str) -> list[type]:
    """The SDK's types for a parameter's own parameters."""
    namespace = vars(sys.modules[typed.__module__])
    names = re.findall(r"\w+Params\w+", str(typed.__annotations__[name]))
    return [namespace[one] for one in names]


def _assert_known(record: Record, typed: type, where: str) -> None:
    for name, kind in record.fields.items():
        if (where, name) in _NOT_THE_CALLERS:
            continue
        assert name in typed.__annotations__, f"{where} has no {name} in the SDK"
        inner = kind.of if isinstance(kind, Records) else kind
        if isinstance(inner, Record):
            below = [one for one in _below(typed, name) if set(inner.fields) <= set(one.__annotations__)]
            assert below, f"{where}: {name} has parameters that the SDK's has not"
            _assert_known(inner, below[0], f"{where} {name}")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_parameter_is_one_of_the_sdks(endpoint: Endpoint) -> None:
    """The simulator takes no parameter that the SDK's types do not have for the call."""
    _assert_known(endpoint.parameters, _SDK[endpoint.method, endpoint.path], endpoint.path)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_what_the_sdk_requires_is_required(endpoint: Endpoint) -> None:
    """A parameter without which the SDK's types do not let one call is required here too."""
    typed = _SDK[endpoint.method, endpoint.path]
    demanded: frozenset[str] = typed.__required_keys__  # type: ignore[attr-defined]  # a TypedDict has it
    assert demanded - set(endpoint.parameters.required) == set()


def test_an_unknown_parameter_is_refused_by_name(client: stripe.StripeClient) -> None:
    """A name that the call does not have gets a 400 that says so."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.create(loose({"nmae": "Acme"}))

    assert (
        refused.value.http_status,
        refused.value.code,
        refused.value.param,
        refused.value.user_message,
    ) == (
        400,
        "parameter_unknown",
        "nmae",
        "Received unknown parameter: nmae",
    )


def test_an_unknown_nested_parameter_is_refused_with_its_path(
    client: stripe.StripeClient, shop: Shop
) -> None:
    """A nested name is refused in bracket notation."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.subscriptions.create(
            loose({"customer": shop.customer, "items": [{"prise": shop.fee_price}]})
        )

    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "items[0][prise]")


def test_a_missing_parameter_is_refused_by_name(client: stripe.StripeClient) -> None:
    """A required parameter that is absent gets a 400 that names it."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.billing.meter_events.create(loose({"event_name": "mqtt_traffic"}))

    assert (refused.value.code, refused.value.param, refused.value.user_message) == (
        "parameter_missing",
        "payload",
        "Missing required param: payload.",
    )


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"recurring": {"interval": "fortnight"}}, "recurring[interval]"),
        ({"unit_amount": "ten"}, "unit_amount"),
        ({"unit_amount": -1}, "unit_amount"),
        ({"active": "yes"}, "active"),
        ({"unit_amount_decimal": "1e3"}, "unit_amount_decimal"),
        ({"unit_amount_decimal": "0.1234567890123"}, "unit_amount_decimal"),
        ({"tiers": "none"}, "tiers"),
        ({"recurring": "monthly"}, "recurring"),
        ({"lookup_key": ""}, "lookup_key"),
        ({"lookup_key": "x" * 201}, "lookup_key"),
        ({"metadata": {"k" * 41: "v"}}, "metadata"),
        ({"metadata": "k=v"}, "metadata"),
    ],
)
def test_a_value_of_the_wrong_form_is_refused(
    client: stripe.StripeClient, parameters: dict[str, object], param: str
) -> None:
    """Each parameter's form is checked, and the refusal names the parameter."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.prices.create(loose({"currency": "usd", **parameters}))

    assert refused.value.param == param
