"""Packed values read back exactly, whatever they are."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metering.core.contract import Report
from metering.core.metrics import GAUGES
from metering.tables.packing import pack, unpack
from testing.reports import document

names = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
def test_what_is_packed_is_read(value: object) -> None:
    """Any JSON value reads back as it was."""
    assert value == unpack(pack(value))


@given(st.dictionaries(names, values, max_size=6))
def test_order_changes_no_byte(value: dict[str, Any]) -> None:
    """Equal values are packed to equal bytes, whatever the order of their keys."""
    assert pack(value) == pack(dict(reversed(value.items())))


@given(st.dictionaries(names, st.integers(0, 2**63 - 1), max_size=12))
def test_a_report_reads_back(counters: dict[str, int]) -> None:
    """A report packed and read back is the same report, digest included."""
    counters = {name: value for name, value in counters.items() if name not in GAUGES}
    report = Report.model_validate_json(json.dumps(document(counters=counters)))
    again = Report.model_validate(unpack(pack(report.model_dump(mode="json"))), strict=False)
    assert (report, report.digest()) == (again, again.digest())
