"""Credentials become identities, or nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from authorizer.credentials import ALGORITHM, bearer_of, identify_key, identify_token, is_key
from metering.aws.web import Identity
from metering.core.instances import Instance, make_key, secret_digest

NOW = datetime(2026, 11, 22, 13, 35, tzinfo=UTC)
SECRET = "a portal secret of thirty-two bytes or more"
INSTANCE = Instance(customer_id="acme", instance_id="default", digests=(secret_digest("s3cret"),))


def find(customer_id: str, instance_id: str) -> Instance | None:
    """Find the one instance there is."""
    return INSTANCE if (customer_id, instance_id) == ("acme", "default") else None


def token(secret: str = SECRET, algorithm: str = ALGORITHM, **changes: Any) -> str:
    """Return a portal token of one hour, with claims changed or (None) left out."""
    claims = {"sub": "acme", "exp": int((NOW + timedelta(hours=1)).timestamp())} | changes
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, secret, algorithm=algorithm)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("Bearer  abc ", "abc"),
        ("Basic abc", None),
        ("abc", None),
        ("Bearer ", None),
        ("", None),
    ],
)
def test_bearer_tokens(header: str, found: str | None) -> None:
    """Only a bearer token is a credential, whatever the scheme's case."""
    assert found == bearer_of(header)


def test_a_key_is_its_instance() -> None:
    """The right key is its customer and instance, without an end."""
    key = make_key("acme", "default", "s3cret")
    assert is_key(key)
    assert Identity("acme", "default", "instance") == identify_key(key, find)


@pytest.mark.parametrize(
    "key",
    [
        make_key("acme", "default", "other"),
        make_key("acme", "other", "s3cret"),
        make_key("other", "default", "s3cret"),
        make_key("acme", "default", secret_digest("s3cret")),
        "zmf_acme.default",
        "zmf_acme.default.s3cret.more",
    ],
)
def test_any_other_key_is_nobody(key: str) -> None:
    """A wrong secret, an unknown instance and a malformed key are nobody; the digest is no secret."""
    assert identify_key(key, find) is None


def test_a_revoked_key_is_nobody() -> None:
    """An instance without digests accepts no key."""
    revoked = INSTANCE.model_copy(update={"digests": ()})
    assert identify_key(make_key("acme", "default", "s3cret"), lambda *_: revoked) is None


def test_a_token_is_its_customer() -> None:
    """A portal token is its customer, reads only, and ends when it says."""
    assert not is_key(token())
    found = identify_token(token(), SECRET, NOW)
    assert Identity("acme", "", "portal", NOW + timedelta(hours=1)) == found


@pytest.mark.parametrize("late", [0, 1])
def test_an_expired_token_is_nobody(late: int) -> None:
    """A token is nobody's from the very second of its expiry on."""
    assert identify_token(token(), SECRET, NOW + timedelta(hours=1, seconds=late)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "another secret of thirty-two bytes or more"},
        {"secret": "", "algorithm": "none"},
        {"algorithm": "HS512"},
        {"sub": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 10**20},
    ],
)
# The secret is short for HS512, which PyJWT says.
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_forged_token_is_nobody(changes: dict[str, Any]) -> None:
    """Another secret, no signature, another algorithm or missing claims: nobody."""
    assert identify_token(token(**changes), SECRET, NOW) is None


@pytest.mark.parametrize("text", ["not.a.token", ""])
def test_what_is_no_token_is_nobody(text: str) -> None:
    """Text that is no token is nobody."""
    assert identify_token(text, SECRET, NOW) is None


def test_an_unsigned_header_changes_nothing() -> None:
    """A token whose content was changed after signing is nobody's."""
    head, _, signature = token().split(".")
    body = token(sub="other").split(".")[1]
    assert identify_token(f"{head}.{body}.{signature}", SECRET, NOW) is None
