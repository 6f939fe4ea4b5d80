"""Packed values read back exactly, with whichever dictionary they were written."""

import hashlib
import json
import zlib

import pytest

from metering.tables import packing
from metering.tables.packing import pack, unpack
from testing.reports import document

VALUE = document(counters={"http_requests": 2**63 - 1}, state_id="é")


def test_equal_values_give_equal_bytes() -> None:
    """The order of keys changes nothing: equal values are packed to equal bytes."""
    shuffled = dict(reversed(VALUE.items()))
    assert pack(VALUE) == pack(shuffled)
    assert VALUE == unpack(pack(shuffled))


def test_the_first_byte_is_the_dictionary_s_number() -> None:
    """The first byte says with which dictionary an item was written."""
    assert 1 == pack(VALUE)[0]


def test_a_dictionary_never_changes() -> None:
    """Dictionary 1 has items in the tables: changing a byte of it would make them unreadable."""
    assert (
        "36daba381e3fc38988faea615a37b54ba93e8e0e90ad095540529a4b500f3a8a"
        == hashlib.sha256(packing._DICTIONARIES[1]).hexdigest()
    )


def test_older_items_stay_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that was written with an older dictionary is read after a newer one has come."""
    written = pack(VALUE)
    monkeypatch.setattr(packing, "_DICTIONARIES", packing._DICTIONARIES | {2: b'"customer_id":"cust_'})
    monkeypatch.setattr(packing, "_CURRENT", 2)
    assert 2 == pack(VALUE)[0]
    assert [VALUE, VALUE] == [unpack(written), unpack(pack(VALUE))]


@pytest.mark.parametrize("damage", [b"", b"\x09", b"\x01\xff\xff\xff\xff"])
def test_damaged_bytes_are_an_error(damage: bytes) -> None:
    """Bytes that pack never wrote are an error, never a value."""
    with pytest.raises((IndexError, KeyError, zlib.error, json.JSONDecodeError)):
        unpack(damage)
