"""What was released stays as it was: the catalogue's entries and the registry's metrics, by their digests.

``released.json`` holds a digest for each. Labels and texts for people may change; what is counted and what it
costs may not. See docs/adding.md.
"""

import hashlib
import json
from pathlib import Path

import pytest

from metering.core.catalog import builtin_catalog
from metering.core.contract import canonical_json
from metering.core.metrics import METRICS

RELEASED: dict[str, str] = json.loads((Path(__file__).parent / "released.json").read_text())
WHAT_TO_DO = {
    "meter": "a meter that was sold never changes: leave it, add `name@2`, sold by a new plan version",
    "plan": "a plan that was used never changes: leave it, and add its next version",
    "metric": "a metric that was counted never changes: leave it, and add one of another name",
}


def digest(value: object) -> str:
    """Return the digest of what must not change of an entry."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:16]


def entries() -> dict[str, str]:
    """Return the digest of every entry of today, by kind and name."""
    catalog = builtin_catalog()
    told = {
        f"meter {name}": meter.model_dump(mode="json", exclude={"label"})
        for name, meter in catalog.meters.items()
    }
    told |= {
        f"plan {name}": plan.model_dump(mode="json", exclude={"label"})
        for name, plan in catalog.plans.items()
    }
    told |= {f"metric {metric.name}": {"kind": metric.kind, "unit": metric.unit} for metric in METRICS}
    return {name: digest(value) for name, value in told.items()}


@pytest.mark.parametrize("name", RELEASED)
def test_what_was_released_stays_as_it_was(name: str) -> None:
    """A released entry that changes, or goes, fails with the sentence what to do instead."""
    assert RELEASED[name] == entries().get(name), f"{name}: {WHAT_TO_DO[name.partition(' ')[0]]}"


def test_what_is_new_is_written_down() -> None:
    """An entry is released with the change that adds it, so that it is held from then on."""
    new = {name: value for name, value in entries().items() if name not in RELEASED}
    assert {} == new, f"write these into {Path(__file__).with_name('released.json').name}: {json.dumps(new)}"
