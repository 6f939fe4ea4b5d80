"""Every invariant names the tests that guard it, and each of them is there."""

import ast
import re
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
PAGE = (TREE / "docs" / "invariants.md").read_text()
SECTIONS = {part.splitlines()[0]: part for part in PAGE.split("\n## ")[1:]}
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize("invariant", SECTIONS)
def test_an_invariant_names_its_tests(invariant: str) -> None:
    """No invariant is without a test that can fail."""
    assert re.findall(r"^- `tests/[\w/]+\.py::test_\w+`$", SECTIONS[invariant], re.MULTILINE)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    """A test that is renamed or removed is missed here."""
    tree = ast.parse((TREE / file).read_text())
    assert not name or name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
