"""``ops portal``: the address of a customer's page, for an hour."""

from authorizer.credentials import identify_token
from metering.core.instants import HOUR
from tests.component.ops.desk import PORTAL_SECRET, Desk


def test_a_portal_token_is_one_the_authorizer_takes(acme: Desk) -> None:
    """The page's address carries a token for this customer alone that dies after an hour."""
    now = acme.now
    answer = acme.good("portal", "acme", "--json").json
    identity = identify_token(answer["token"], PORTAL_SECRET, now)

    assert identity is not None
    assert ("acme", "portal") == (identity.customer_id, identity.scope)
    assert identify_token(answer["token"], PORTAL_SECRET, now + HOUR + HOUR) is None
    assert f"https://api.example/dashboard#token={answer['token']}" == answer["url"]
    assert "no customer nobody" in acme.wrong(1, "portal", "nobody")
