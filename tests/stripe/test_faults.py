"""After every fault Stripe's total = ledger = usage, the invoice = the estimate, and no hour counts twice."""

import os

import pytest

from stripe_simulator.serving.account import StripeAccount
from tests.stripe.faults import CASES, PAGE, Case, page, run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_leaves_nothing_behind(account: StripeAccount, case: Case) -> None:
    """After each fault usage, ledger, Stripe and invoice agree, and one event is counted for the hour."""
    row = run(case, account)
    assert row.settled, row


def test_the_page_of_faults_says_what_happens() -> None:
    """The page's table is what each case comes to today; ``WRITE_FAULTS=1`` writes it anew."""
    made = page()
    if os.environ.get("WRITE_FAULTS"):
        PAGE.write_text(made, encoding="utf-8")
    print(f"\n{made}")  # noqa: T201  the table belongs into the test's output
    assert PAGE.read_text(encoding="utf-8") == made
