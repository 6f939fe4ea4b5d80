"""``ops customers``: a customer with its subscription, made or attached to, suspended, resumed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from metering.core.accounts import BillingPeriod, Customer, PeriodState
from metering.core.catalog import builtin_catalog
from metering.core.instants import DAY, HOUR, format_instant, hour_of
from metering.core.periods import add_months
from metering.tables.shards import shard_of
from metering.tables.usage import period_usage
from ops.attach import attach
from ops.stripe_objects import catalog_prices, existing_prices
from ops.subscriptions import SubscriptionRequest, subscribe
from tests.component.ops.desk import Desk

ADD = ("customers", "add", "acme", "--name", "Acme", "--email", "pay@acme.example")
OVERRIDE = '{"meters": {"devices": {"included": "0", "overage": "1.50"}}}'


def _subscriptions(desk: Desk) -> list[Any]:
    return list(desk.stripe.v1.subscriptions.list({"limit": 100}).data)


def _sent(subscription: dict[str, Any]) -> Any:
    """Return a subscription's parameters with invoices that are sent: it has no payment method."""
    return {**subscription, "collection_method": "send_invoice", "days_until_due": 14}


def _days(desk: Desk) -> list[datetime]:
    return [
        datetime(m.day.year, m.day.month, m.day.day, tzinfo=UTC)
        for m in desk.tables.markers.unsent_of("acme")
    ]


def test_a_customer_comes_with_its_subscription(synced: Desk) -> None:
    """Adding makes Stripe's customer and subscription, from the next full hour on, and the first period."""
    added = synced.good(*ADD, "--json").json

    account = synced.tables.customers.account("acme")
    assert account is not None
    [subscription] = _subscriptions(synced)
    [period] = account.periods
    assert added["stripe_subscription_id"] == subscription.id == account.customer.stripe_subscription_id
    assert hour_of(synced.now) + HOUR == period.start == account.customer.anchor
    assert ("starter@1", add_months(period.start, 1)) == (period.plan, period.end)
    assert {"acme"} == {
        subscription.metadata["customer_id"],
        *synced.tables.customers.fleet(shard_of("acme")),
    }
    assert ("active", "send_invoice") == (subscription.status, subscription.collection_method)


def test_adding_twice_adds_once(synced: Desk) -> None:
    """The same command again changes nothing, here or at Stripe."""
    synced.good(*ADD)
    before, changes = synced.tables.customers.account("acme"), synced.changes()

    assert "there already" in synced.good(*ADD).out
    assert (before, changes) == (synced.tables.customers.account("acme"), synced.changes())


def test_another_profile_under_the_same_id_is_refused(synced: Desk) -> None:
    """A customer that exists with another name or plan stays as it is, and Stripe is not called."""
    synced.good(*ADD)
    changes = synced.changes()

    assert "another profile" in synced.wrong(1, *ADD, "--plan", "professional")
    assert changes == synced.changes()


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/subscriptions"])
@pytest.mark.parametrize("kind", ["500", "500_after", "drop_after"])
def test_what_a_crash_left_at_stripe_is_found_again(synced: Desk, path: str, kind: str) -> None:
    """A call to Stripe that failed, before or after it took effect, leaves one customer and subscription."""
    synced.fault(kind, path)
    synced.run(*ADD)
    # A stored 500 comes back under its Idempotency-Key for a day.
    synced.simulator.clock.advance(25 * 3600)
    synced.good(*ADD)

    assert 1 == len(_subscriptions(synced))
    assert 1 == len(synced.stripe.v1.customers.list().data)


def test_a_crash_before_our_tables_is_mended(synced: Desk) -> None:
    """A customer with Stripe's objects, but unknown to us, is added with them."""
    asked = Customer(customer_id="acme", name="Acme", plan="starter@1", billing_email="pay@acme.example")
    made = subscribe(synced.stripe, asked, builtin_catalog(), synced.now)
    added = synced.good(*ADD, "--json").json

    assert made.customer.stripe_subscription_id == added["stripe_subscription_id"]


def test_a_customer_without_its_first_period_gets_it(synced: Desk) -> None:
    """A crash between the profile and the first period is mended by adding again."""
    asked = Customer(customer_id="acme", name="Acme", plan="starter@1", billing_email="pay@acme.example")
    made = subscribe(synced.stripe, asked, builtin_catalog(), synced.now)
    synced.tables.customers.add(made.customer)
    synced.good(*ADD)

    [period] = synced.tables.customers.periods("acme")
    assert made.period.start == period.start


def test_existing_objects_are_attached_to(synced: Desk) -> None:
    """A customer is attached to an existing Stripe customer and subscription, which then bear its id."""
    other = synced.good("customers", "add", "other", "--name", "Other", "--json").json
    prices = [item.price.id for item in _subscriptions(synced)[0]["items"].data]
    mine = synced.stripe.v1.customers.create({"name": "Acme Inc"})
    subscription = synced.stripe.v1.subscriptions.create(
        _sent({"customer": mine.id, "items": [{"price": price} for price in prices]})
    )
    options = ("--stripe-customer", mine.id, "--stripe-subscription", subscription.id)
    added = synced.good(*ADD, *options, "--json").json

    assert (mine.id, subscription.id) == (added["stripe_customer_id"], added["stripe_subscription_id"])
    assert other["stripe_customer_id"] != mine.id
    after: Any = synced.stripe.v1.subscriptions.retrieve(subscription.id)
    assert "acme" == after.metadata["customer_id"]
    claimed: Any = synced.stripe.v1.customers.retrieve(mine.id)
    assert "acme" == claimed.metadata["customer_id"]
    assert "belongs to acme" in synced.wrong(
        1, "customers", "add", "third", "--name", "Third", "--stripe-customer", mine.id
    )


def test_a_subscription_with_other_prices_is_not_attached_to(synced: Desk) -> None:
    """A subscription that lacks the plan's prices is refused; the differences are named."""
    mine = synced.stripe.v1.customers.create({"name": "Acme Inc"})
    [fee] = synced.stripe.v1.prices.list({"lookup_keys": ["starter@1.base_fee"]}).data
    bare = synced.stripe.v1.subscriptions.create(_sent({"customer": mine.id, "items": [{"price": fee.id}]}))
    said = synced.wrong(1, *ADD, "--stripe-subscription", bare.id)

    assert "lacks starter@1.devices" in said
    assert synced.tables.customers.customer("acme") is None


def test_stripe_must_be_synced_first(desk: Desk) -> None:
    """Without the catalogue's objects the command says to sync."""
    assert "ops stripe sync" in desk.wrong(1, *ADD)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("customers", "add", "no/id", "--name", "Acme"), 2, "CUSTOMER"),
        (("customers", "add", "x" * 41, "--name", "Acme"), 2, "CUSTOMER"),
        (("customers", "add", "acme"), 2, "--name"),
        (("customers", "add", "acme", "--name", " "), 2, "--name must not be empty"),
        (("customers", "add", "acme", "--name", "Acme\nInc"), 2, "--name must be one line"),
        (("customers", "add", "acme", "--name", "\x1b[31mAcme"), 2, "--name must be one line"),
        ((*ADD, "--plan", "gold"), 2, "no plan 'gold'"),
        ((*ADD, "--plan", "enterprise"), 2, "base_fee"),
        ((*ADD, "--override", "{"), 2, "--override is not JSON"),
        ((*ADD, "--override", "[]"), 2, "--override must be a JSON object"),
        ((*ADD, "--override", '{"base_fee": 5}'), 2, "--override: base_fee"),
        ((*ADD, "--override", '{"meters": {"gold": {"unlimited": true}}}'), 2, "'gold'"),
        ((*ADD, "--no-stripe", "--stripe-customer", "cus_1"), 2, "exclude each other"),
        ((*ADD, "--stripe-customer", "sub_1"), 2, "--stripe-customer must be an id"),
        ((*ADD, "--stripe-subscription", "sub_none"), 1, "No such subscription"),
        ((*ADD, "--stack", "none"), 1, "--stack"),
        (("customers", "show", "nobody"), 1, "no customer nobody"),
        (("customers", "suspend", "nobody"), 1, "no customer nobody"),
        (("instances", "add", "nobody"), 1, "no customer nobody"),
    ],
)
def test_wrong_input_is_named(synced: Desk, arguments: tuple[str, ...], status: int, said: str) -> None:
    """What cannot be right ends with status 2, what failed with 1; it is named, nothing is changed."""
    changes = synced.changes()

    assert said in synced.wrong(status, *arguments)
    assert changes == synced.changes()
    assert synced.tables.customers.customer("acme") is None


@pytest.mark.parametrize(
    "email",
    [
        "pay.acme.example",
        "pay@acme@example.com",
        "pay@",
        "@acme.example",
        "pay@localhost",
        "pay@.example",
        "pay@acme.",
        "pay @acme.example",
        " pay@acme.example",
        "pay@acme.example\n",
        "pay@acme.example,",
        "a@b.example, c",
        "Pay <pay@acme.example>",
        "p" * 65 + "@acme.example",
        "pay@" + "a." * 130 + "example",
    ],
)
def test_an_address_that_is_none_is_refused(desk: Desk, email: str) -> None:
    """An e-mail address without one @, with blanks, without a domain or too long ends with 2, named."""
    said = desk.wrong(2, "customers", "add", "acme", "--name", "Acme", "--no-stripe", "--email", email)

    assert "--email" in said
    assert desk.tables.customers.customer("acme") is None


@pytest.mark.parametrize(
    "email", ["pay+eu@acme.example", "o'neill@acme.co.uk", "1@x.io", "rechnung@müller.example"]
)
def test_an_unusual_address_is_taken(desk: Desk, email: str) -> None:
    """What mail servers take is taken: a tag, an apostrophe, a short name, a domain with an umlaut."""
    added = desk.good("customers", "add", "acme", "--name", "Acme", "--no-stripe", "--email", email, "--json")

    assert email == added.json["billing_email"]


def test_a_dry_run_adds_nobody(synced: Desk) -> None:
    """A dry run shows what would be made, the customer's own prices included, and makes none of it."""
    changes = synced.changes()

    assert "acme.devices." in synced.good(*ADD, "--override", OVERRIDE, "--dry-run").out
    assert (changes, None) == (synced.changes(), synced.tables.customers.customer("acme"))


def test_customers_are_listed_and_shown(synced: Desk) -> None:
    """The list has every customer, one customer shows its profile, instances and periods; no digest."""
    synced.good(*ADD)
    synced.simulator.clock.advance(3600)
    synced.good("customers", "add", "beta", "--name", "Beta", "--no-stripe")
    synced.good("instances", "add", "acme")
    shown = synced.good("customers", "show", "acme", "--json")

    listed = synced.good("customers", "list", "--json").json
    assert [("acme", "starter@1"), ("beta", "starter@1")] == [
        (one["customer"], one["plan"]) for one in listed
    ]
    assert [{"instance_id": "default", "keys": 1}] == shown.json["instances"]
    assert "Acme" in synced.good("customers", "show", "acme").out
    [instance] = synced.tables.customers.account("acme").instances  # type: ignore[union-attr]  # it is there
    assert instance.digests[0] not in shown.out


def _rows(out: str) -> list[list[str]]:
    """Return the cells of every line of the tables that were printed."""
    bar = "\N{BOX DRAWINGS LIGHT VERTICAL}"
    return [[cell.strip() for cell in line.strip(bar).split(bar)] for line in out.splitlines() if bar in line]


def test_the_plan_in_force_stands_beside_the_one_to_come(synced: Desk) -> None:
    """List and show have the plan of the present period, and beside it the one to come and from when."""
    synced.good(*ADD, "--override", OVERRIDE)
    synced.simulator.clock.advance(3600)
    [period] = synced.tables.customers.periods("acme")
    end = format_instant(period.end)
    [before] = synced.good("customers", "list", "--json").json
    assert ("starter@1", None, None) == (before["plan"], before["next_plan"], before["from"])
    assert None is synced.good("customers", "show", "acme", "--json").json["next_plan"]
    synced.good("customers", "set-plan", "acme", "professional", "--override", "{}")

    [row] = synced.good("customers", "list", "--json").json
    assert ("starter@1", "professional@1", end) == (row["plan"], row["next_plan"], row["from"])
    shown = synced.good("customers", "show", "acme", "--json").json
    own = {"meters": {"devices": {"included": "0", "overage": "1.50"}}}
    assert {"plan": "starter@1", "override": own} == shown["plan"]
    assert {"plan": "professional@1", "override": {}, "from": end} == shown["next_plan"]
    rows = dict(row for row in _rows(synced.good("customers", "show", "acme").out) if len(row) == 2)
    assert ("starter@1", "professional@1", end) == (rows["plan"], rows["next plan"], rows["from"])
    assert ("1.50" in rows["override"], "none") == (True, rows["next override"])


def test_other_prices_to_come_on_the_same_plan_are_shown(synced: Desk) -> None:
    """Where only the customer's own prices change, the same plan stands beside itself, with its prices."""
    synced.good(*ADD)
    synced.simulator.clock.advance(3600)
    synced.good("customers", "set-plan", "acme", "starter", "--override", '{"base_fee": "25"}')

    [row] = synced.good("customers", "list", "--json").json
    assert ("starter@1", "starter@1") == (row["plan"], row["next_plan"])
    shown = synced.good("customers", "show", "acme", "--json").json
    assert ({}, {"base_fee": "25"}) == (shown["plan"]["override"], shown["next_plan"]["override"])


def test_a_customer_who_left_has_no_plan_in_force(desk: Desk) -> None:
    """After the last period's end no plan is in force and none is to come."""
    ended = hour_of(desk.now) - DAY
    left = Customer(
        customer_id="acme", name="Acme", plan="starter@1", anchor=ended - 31 * DAY, stripe_customer_id="cus_1"
    )
    desk.tables.customers.add(left)
    period = BillingPeriod(start=ended - 31 * DAY, end=ended, plan="starter@1")
    desk.tables.customers.add_period("acme", period)

    [row] = desk.good("customers", "list", "--json").json
    assert (None, None) == (row["plan"], row["next_plan"])
    shown = desk.good("customers", "show", "acme", "--json").json
    assert (None, None) == (shown["plan"], shown["next_plan"])


def test_a_customer_whose_first_period_is_to_come(desk: Desk) -> None:
    """Before the first period no plan is in force; the one to come stands there with when it begins."""
    begins = hour_of(desk.now) + 2 * HOUR
    coming = Customer(
        customer_id="acme",
        name="Acme",
        plan="starter@1",
        anchor=begins,
        stripe_customer_id="cus_1",
        stripe_subscription_id="sub_1",
    )
    desk.tables.customers.add(coming)

    [row] = desk.good("customers", "list", "--json").json
    assert (None, "starter@1", format_instant(begins)) == (row["plan"], row["next_plan"], row["from"])


def test_suspending_and_resuming(synced: Desk) -> None:
    """A suspended customer is not reported; resuming marks the open period's days, each time it is run."""
    synced.good(*ADD)
    synced.good("customers", "suspend", "acme", "--dry-run")
    assert "active" == synced.good("customers", "show", "acme", "--json").json["customer"].get(
        "status", "active"
    )
    for _ in range(2):
        synced.good("customers", "suspend", "acme")
    assert "suspended" == synced.tables.customers.customer("acme").status  # type: ignore[union-attr]  # it is there

    synced.good("customers", "resume", "acme", "--dry-run")
    assert [] == _days(synced)
    today = synced.now.replace(hour=0, minute=0, second=0)
    for _ in range(2):
        assert today.date().isoformat() in synced.good("customers", "resume", "acme", "--json").json["days"]
    assert "active" == synced.tables.customers.customer("acme").status  # type: ignore[union-attr]  # it is there
    assert [today] == _days(synced)[-1:]


def test_a_customer_without_stripe_is_resumed_without_marks(synced: Desk) -> None:
    """Without Stripe nothing is to be reported, so resuming marks no day."""
    synced.good(*ADD, "--no-stripe")
    synced.good("customers", "suspend", "acme")
    synced.good("customers", "resume", "acme")

    assert [] == _days(synced)


def test_attaching_ends_the_calendar_month(synced: Desk) -> None:
    """Attaching Stripe ends the month where the subscription begins; what was used by then is not sold."""
    synced.good(*ADD, "--no-stripe")
    before = hour_of(synced.now) - 40 * DAY
    synced.used("acme", before, gib=12)
    synced.used("acme", hour_of(synced.now), gib=3)
    synced.good("customers", "attach", "acme")
    synced.good("customers", "attach", "acme")

    account = synced.tables.customers.account("acme")
    assert account is not None
    *former, present = account.periods
    assert {(PeriodState.FINALISED, False)} == {(period.state, period.sold) for period in former}
    assert hour_of(synced.now) + HOUR == former[-1].end == present.start
    assert former[-1].nominal_end is not None
    assert {} == former[0].invoiced
    assert (PeriodState.OPEN, True) == (present.state, present.sold)
    assert 1 == len(_subscriptions(synced))
    assert [day for day in present.span.days() if day <= synced.now.date()] == [
        day.date() for day in _days(synced)
    ]
    listed = synced.good("late-usage", "acme", "--json").json
    assert ([], []) == (listed["late_usage"], listed["unbilled"])


@pytest.mark.parametrize("final", [False, True])
def test_the_open_month_takes_the_terms_of_a_subscription_that_began_with_it(
    synced: Desk, *, final: bool
) -> None:
    """The month was kept as starter's and is billed as professional: our page has $99.00 as well."""
    synced.good(*ADD, "--no-stripe")
    synced.used("acme", hour_of(synced.now), gib=60)
    synced.good("customers", "set-plan", "acme", "professional")
    account = synced.tables.customers.account("acme")
    assert account is not None
    month = account.periods[-1]
    if final:
        synced.tables.customers.replace_period(
            "acme", month, month.model_copy(update={"state": PeriodState.FINALISED})
        )
    subscription = _professional_since(synced, month.start)
    if final:
        said = synced.wrong(1, "customers", "attach", "acme", "--stripe-subscription", subscription)
        assert "is final" in said
        return
    synced.good("customers", "attach", "acme", "--stripe-subscription", subscription)
    synced.good("customers", "attach", "acme")

    [present] = [one for one in synced.tables.customers.periods("acme") if one.start == month.start]
    assert (PeriodState.OPEN, True, month.end) == (present.state, present.sold, present.end)
    assert subscription == present.subscription_id
    usage = period_usage(synced.tables, "acme", present, builtin_catalog())
    assert Decimal("99.00") == sum(line.amount for line in usage.lines)


def _professional_since(desk: Desk, start: datetime) -> str:
    """Make a subscription of professional in Stripe whose present period began then; return its id."""
    prices = catalog_prices(builtin_catalog())
    keys = [price.lookup_key for price in prices if price.lookup_key.startswith("professional@1.")]
    found = existing_prices(desk.stripe, keys)
    present = desk.simulator.clock.now()
    desk.simulator.clock.set(int(start.timestamp()))
    wanted: Any = _sent(
        {
            "customer": desk.stripe.v1.customers.create({"name": "Acme Inc"}).id,
            "items": [{"price": found[key].id} for key in keys],
            "billing_mode": {"type": "flexible"},
        }
    )
    made = desk.stripe.v1.subscriptions.create(wanted)
    desk.simulator.clock.set(present)
    return made.id


def test_a_customer_who_left_comes_back(synced: Desk) -> None:
    """A customer whose subscription ended is attached anew; its former periods stay as they are."""
    synced.good(*ADD)
    synced.simulator.clock.advance(2 * 3600)
    account = synced.tables.customers.account("acme")
    assert account is not None
    subscription = str(account.customer.stripe_subscription_id)
    synced.stripe.v1.subscriptions.cancel(subscription, {"invoice_now": True})
    left = account.customer.model_copy(update={"stripe_subscription_id": None})
    assert synced.tables.customers.replace(account.customer, left)
    [period] = account.periods
    later = synced.now + timedelta(days=3)
    cut = {"state": PeriodState.FINALISED, "end": hour_of(synced.now) + HOUR, "nominal_end": period.end}
    assert synced.tables.customers.replace_period("acme", period, period.model_copy(update=cut))
    synced.simulator.clock.advance(3 * 86_400)
    account = synced.tables.customers.account("acme")
    assert account is not None
    request = SubscriptionRequest()
    back, days = attach(synced.stripe, account, request, synced.tables, builtin_catalog(), later)

    assert left.stripe_customer_id == back.stripe_customer_id
    assert subscription != back.stripe_subscription_id
    assert [later.date()] == days
    # The days between are a period that is not sold.
    final, still_open = PeriodState.FINALISED, PeriodState.OPEN
    assert [(final, True), (final, False), (still_open, True)] == [
        (one.state, one.sold) for one in synced.tables.customers.periods("acme")
    ]
