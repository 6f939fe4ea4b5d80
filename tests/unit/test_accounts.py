"""Customers, instance keys and billing periods as values."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from metering.core.accounts import Account, BillingPeriod, Customer
from metering.core.catalog import Override, builtin_catalog, parse_override
from metering.core.instances import Instance, make_key, secret_digest, split_key

JAN_15 = datetime(2026, 1, 15, 13, tzinfo=UTC)


def account_of(customer: Customer, periods: list[BillingPeriod]) -> Account:
    """Return an account with these periods, and without instances."""
    return Account(customer, (), tuple(periods))


def customer(**changes: object) -> Customer:
    """Return a customer on starter."""
    return Customer.model_validate({"customer_id": "acme", "name": "Acme", "plan": "starter@1"} | changes)


def test_keys_round_trip() -> None:
    """A key is ``zmf_<customer>.<instance>.<secret>``."""
    assert "zmf_cust_1.default.s3cret" == make_key("cust_1", "default", "s3cret")
    assert ("cust_1", "default", "s3cret") == split_key("zmf_cust_1.default.s3cret")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "zmf_",
        "zmf_a.b",
        "zmf_a.b.",
        "zmf_.b.c",
        "zmf_a..c",
        "zmf_a.b.c.d",
        "a.b.c",
        "ZMF_a.b.c",
        "zmf_a#b.default.c",
        "zmf_a.period#1.c",
        "zmf_" + "a" * 3000 + ".default.c",
    ],
)
def test_what_is_no_key(key: str) -> None:
    """Anything of another form, or with ids that no customer can have, is no key."""
    assert split_key(key) is None


def test_two_secrets_while_a_key_is_rotated() -> None:
    """An instance accepts each of up to two secrets, no other, and none once they are gone."""
    instance = Instance(
        customer_id="acme", instance_id="default", digests=(secret_digest("old"), secret_digest("new"))
    )
    accepted = [instance.accepts(secret) for secret in ("old", "new", "other", "", secret_digest("old"))]
    assert [True, True, False, False, False] == accepted
    assert not instance.model_copy(update={"digests": ()}).accepts("old")


def test_at_most_two_digests() -> None:
    """A third secret is refused."""
    with pytest.raises(ValidationError):
        Instance(customer_id="a", instance_id="b", digests=tuple(secret_digest(s) for s in "abc"))


@pytest.mark.parametrize("digest", ["s3cret", "A" * 64, "a" * 63])
def test_a_secret_is_never_stored(digest: str) -> None:
    """Only SHA-256 digests are stored, never something else, such as the secret."""
    with pytest.raises(ValidationError):
        Instance(customer_id="a", instance_id="b", digests=(digest,))


def test_the_digest_of_a_secret() -> None:
    """A secret's digest is its SHA-256."""
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" == secret_digest("abc")


def test_calendar_months_without_stripe() -> None:
    """A customer without an anchor has calendar months, on its plan and override."""
    own = parse_override({"base_fee": "19.00"})
    found = account_of(customer(override=own), []).period_at(datetime(2026, 2, 10, 5, tzinfo=UTC))
    assert found is not None
    assert (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)) == (found.start, found.end)
    assert ("starter@1", own) == (found.plan, found.override)


def test_the_stored_period_wins() -> None:
    """A stored period keeps its plan and bounds, whatever the customer's plan has become."""
    stored = BillingPeriod(start=JAN_15, end=JAN_15.replace(month=2), first=True, plan="professional@1")
    assert stored is account_of(customer(anchor=JAN_15), [stored]).period_at(JAN_15)


def test_no_period_before_the_first() -> None:
    """Before the hour of a customer's anchor there is no period."""
    acme = customer(anchor=JAN_15.replace(minute=30))
    assert account_of(acme, []).period_at(JAN_15.replace(hour=12)) is None
    first = account_of(acme, []).period_at(JAN_15)
    assert first is not None
    assert first.first
    assert first.start == acme.anchor


def test_an_odd_anchor_s_hour_belongs_to_the_period_before() -> None:
    """With an anchor inside an hour, later boundary hours belong to the period that began before them."""
    acme = customer(anchor=JAN_15.replace(minute=30))
    boundary = JAN_15.replace(month=2)
    found = [account_of(acme, []).period_at(hour) for hour in (boundary, boundary.replace(hour=14))]
    assert [1, 2] == [period.start.month for period in found if period]


def test_a_period_s_terms() -> None:
    """What is paid in a period comes from the period's own plan and override."""
    own = Override(base_fee=Decimal(10))
    period = BillingPeriod(start=JAN_15, end=JAN_15.replace(month=2), plan="starter@1", override=own)
    assert Decimal(10) == period.terms(builtin_catalog()).base_fee


def test_a_period_round_trips() -> None:
    """A finalised period reads back exactly, money and quantities to the last digit."""
    period = BillingPeriod.model_validate(
        {
            "start": JAN_15,
            "end": JAN_15.replace(month=2),
            "plan": "starter@1",
            "state": "finalised",
            "invoice_id": "in_1",
            "invoice_total": "31.50",
            "invoiced": {"devices": "11.250000001"},
        }
    )
    again = BillingPeriod.model_validate_json(period.model_dump_json(exclude_defaults=True))
    assert period == again
    assert "31.50" == str(again.invoice_total)


@pytest.mark.parametrize("amount", [Decimal("NaN"), 31.5, 31, "1e"])
def test_what_could_not_be_read_back_is_not_made(amount: object) -> None:
    """A period refuses when it is made what it would refuse when it is read: inexact, no number."""
    with pytest.raises(ValidationError):
        BillingPeriod.model_validate(
            {"start": JAN_15, "end": JAN_15.replace(month=2), "plan": "starter@1", "invoice_total": amount}
        )


def test_an_invoice_may_be_a_credit_and_a_quantity_may_not() -> None:
    """Credits greater than what is owed make a negative total; nobody uses less than nothing."""
    bounds = {"start": JAN_15, "end": JAN_15.replace(month=2), "plan": "starter@1"}
    credit = BillingPeriod.model_validate(bounds | {"invoice_total": "-3.50"})
    assert Decimal("-3.50") == credit.invoice_total
    with pytest.raises(ValidationError, match="from 0"):
        BillingPeriod.model_validate(bounds | {"invoiced": {"devices": "-1"}})


@pytest.mark.parametrize("anchor", [None, JAN_15])
def test_a_subscription_that_has_ended_opens_no_period(anchor: datetime | None) -> None:
    """After its last period nothing is billed, and no hour of a stored period gets another one."""
    last = BillingPeriod(start=JAN_15, end=JAN_15.replace(day=20), plan="starter@1")
    left = customer(anchor=anchor, stripe_customer_id="cus_1", stripe_subscription_id=None)
    assert last == account_of(left, [last]).period_at(JAN_15.replace(day=16))
    assert None is account_of(left, [last]).period_at(JAN_15.replace(day=25))
