"""Which items of a subscription say what its present period is; when a reconciliation comes back."""

from datetime import UTC, datetime, timedelta

import pytest

from metering.core.catalog import builtin_catalog
from stripe_report.retrying import comes_back_after
from stripe_report.subscribed import Subscription, SubscriptionItem, SubscriptionStatus

START = datetime(2026, 3, 10, 12, tzinfo=UTC)
END = datetime(2026, 4, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FEE = SubscriptionItem("si_fee", "starter@1.base_fee", None, "1 month", START, END)
MQTT = SubscriptionItem("si_mqtt", "starter@1.mqtt_traffic", "mqtt_traffic", "1 month", START, END)
YEARLY = SubscriptionItem("si_year", "support_yearly", None, "1 year", START - 330 * DAY, END)
QUARTERLY = SubscriptionItem("si_quarter", "price_1", None, "3 month", START - 5 * DAY, END + 60 * DAY)
LATER = START + 5 * DAY


def _of(*items: SubscriptionItem, cancel_at: datetime | None = None) -> Subscription:
    return Subscription("sub_1", "acme", SubscriptionStatus.ACTIVE, items, START, START, cancel_at=cancel_at)


def _moved(item: SubscriptionItem) -> SubscriptionItem:
    return SubscriptionItem(item.item_id, item.price, item.meter, item.interval, LATER, item.end)


@pytest.mark.parametrize(
    ("items", "span"),
    [
        ((FEE, MQTT), (START, END)),
        ((YEARLY, QUARTERLY, FEE, MQTT), (START, END)),
        ((YEARLY, FEE), (START, END)),
        ((FEE, _moved(MQTT)), (START, END)),
        ((_moved(FEE), _moved(MQTT)), (LATER, END)),
        ((QUARTERLY,), (QUARTERLY.start, QUARTERLY.end)),
    ],
    ids=["ours", "beside_others", "without_a_meter", "one_exchanged", "all_exchanged", "none_of_ours"],
)
def test_the_metered_items_decide_the_period_else_those_of_our_prices(
    items: tuple[SubscriptionItem, ...], span: tuple[datetime, datetime]
) -> None:
    """Another item, of another interval or of nobody's price, decides nothing."""
    assert span == _of(*items).span(builtin_catalog())


def test_a_subscription_that_is_to_be_cancelled_within_its_period_ends_it_there() -> None:
    """A cancellation at the period's end, or after it, changes nothing."""
    catalog = builtin_catalog()
    assert (START, LATER) == _of(FEE, MQTT, cancel_at=LATER).span(catalog)
    for at in (END, END + DAY):
        assert (START, END) == _of(FEE, MQTT, cancel_at=at).span(catalog)


def test_the_prices_of_others_are_none_of_ours() -> None:
    """A customer's own price is, and so is any price on a meter of ours."""
    own = SubscriptionItem("si_own", "acme.base_fee.0123456789", None, "1 month", START, END)
    metered = SubscriptionItem("si_m", "price_2", "mqtt_traffic", "1 month", START, END)
    found = _of(own, metered, YEARLY, QUARTERLY).lookup_keys(builtin_catalog())
    assert {own.price, metered.price} == found


def test_a_reconciliation_comes_back_later_each_time_and_at_least_every_two_hours_and_ten_minutes() -> None:
    """Customers are spread, since a limit on calls meets many at once."""
    waits = [comes_back_after("acme", tries) for tries in range(40)]
    assert timedelta(minutes=5) <= waits[0] < timedelta(minutes=15)
    assert waits == sorted(waits)
    assert waits[-1] < timedelta(minutes=130)
    assert 50 < len({comes_back_after(f"customer{number}", 0) for number in range(60)})
