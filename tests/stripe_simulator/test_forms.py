"""Brackets in a form's names make trees."""

from decimal import Decimal
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stripe._encode import _api_encode

from stripe_simulator.protocol.forms import BadFormError, decode


def test_brackets_nest() -> None:
    """A name with brackets is a path into a tree."""
    assert decode("a[b][c]=1&a[b][d]=2&e=3") == {"a": {"b": {"c": "1", "d": "2"}}, "e": "3"}


def test_lists_keep_their_indices() -> None:
    """A list of records comes under its indices, in whatever order."""
    assert decode("a[1][b]=y&a[0][b]=x") == {"a": {"1": {"b": "y"}, "0": {"b": "x"}}}


def test_empty_brackets_take_the_next_index() -> None:
    """Empty brackets append."""
    assert decode("expand[]=x&expand[]=y") == {"expand": {"0": "x", "1": "y"}}


def test_the_last_of_equal_names_counts() -> None:
    """A name given twice keeps its last value."""
    assert decode("a=1&a=2") == {"a": "2"}


def test_an_empty_value_is_kept() -> None:
    """An empty value is not the same as an absent one: it unsets."""
    assert decode("metadata=") == {"metadata": ""}


@pytest.mark.parametrize("encoded", ["a=1&a[b]=2", "a[b]=2&a=1", "a[b=1", "[b]=1", "a]b[=1"])
def test_contradicting_names_are_refused(encoded: str) -> None:
    """A name cannot be both a value and a tree, and brackets must match."""
    with pytest.raises(BadFormError):
        decode(encoded)


def test_what_the_sdk_encodes_comes_back() -> None:
    """The SDK's own encoding of nested parameters decodes to the same tree, all values as text."""
    parameters = {
        "tiers": [{"up_to": 10, "unit_amount": 0}, {"up_to": "inf", "unit_amount_decimal": Decimal("0.5")}],
        "metadata": {"a b": "c&d=e", "umlaut": "ü"},
        "active": True,
    }

    assert decode(urlencode(list(_api_encode(parameters)))) == {
        "tiers": {
            "0": {"up_to": "10", "unit_amount": "0"},
            "1": {"up_to": "inf", "unit_amount_decimal": "0.5"},
        },
        "metadata": {"a b": "c&d=e", "umlaut": "ü"},
        "active": "true",
    }


_KEYS = st.text("abcdefgh_0123456789", min_size=1, max_size=5)
_TREES = st.recursive(
    st.text(max_size=10), lambda below: st.dictionaries(_KEYS, below, min_size=1, max_size=3), max_leaves=10
)


@given(st.dictionaries(_KEYS, _TREES, max_size=4))
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_every_tree_survives_the_sdks_encoding(tree: dict[str, object]) -> None:
    """Encoding by the SDK and decoding here give the tree back."""
    assert decode(urlencode(list(_api_encode(tree)))) == tree
