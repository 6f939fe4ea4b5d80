"""Every test says in one sentence which rule it holds, and waits for conditions: docs/tests.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(file.relative_to(TESTS).as_posix() for file in TESTS.rglob("test_*.py"))
SMALL_WORDS = frozenset(
    {"a", "an", "the", "is", "are", "be", "its", "it", "this", "that", "of", "test", "tests"}
)

SLEEPERS = {
    "agent/plugin.py",  # a source that hangs
    "agent/test_crash.py",  # kills at random moments
}


def all_tests(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every test of a module, those in classes too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node


def words(text: str) -> set[str]:
    """Return what a text says, in small letters and without words that say nothing by themselves."""
    return set(re.findall(r"[a-z0-9]+", text.lower().replace("_", " "))) - SMALL_WORDS


def faults(source: str) -> list[str]:
    """Return what of a module's tests is not in the dialect: each test's name and what is wrong with it."""
    found = []
    for test in all_tests(source):
        rule, *_ = (ast.get_docstring(test) or "").split("\n\n")
        if not rule:
            found.append(f"{test.name} has no docstring")
        elif not rule.endswith("."):
            found.append(f"{test.name}: the first paragraph ends without a full stop")
        elif words(rule) <= words(test.name):
            found.append(f"{test.name}: the docstring repeats the name")
    return found


def sleeps(source: str) -> list[int]:
    """Return the lines that call ``sleep``, of whatever module."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "sleep"
    ]


@pytest.mark.parametrize("file", FILES)
def test_a_docstring_is_the_rule(file: str) -> None:
    """No test of this file is without a sentence of its own that says more than its name."""
    assert [] == faults((TESTS / file).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("docstring", "fault"),
    [
        ("", "no docstring"),
        ('"""An hour has 3600 seconds"""', "full stop"),
        ('"""An hour has 3600 seconds\n\n    And no more.\n    """', "full stop"),
        ('"""The length of an hour."""', "repeats the name"),
        ('"""Tests that it is an hour of a length."""', "repeats the name"),
    ],
)
def test_a_fault_is_named(docstring: str, fault: str) -> None:
    """A docstring that is absent, no sentence, or the name once more is found, and the test named."""
    [found] = faults(f"def test_the_length_of_an_hour():\n    {docstring}\n    pass\n")
    assert "test_the_length_of_an_hour" in found
    assert fault in found


def test_a_rule_is_accepted() -> None:
    """A sentence that says more than the name is no fault, in a class and with a second paragraph too."""
    rule = '"""An hour has 3600 seconds.\n\n        Leap seconds are UTC\'s affair\n        """'
    assert [] == faults(f"class TestHour:\n    async def test_the_length(self):\n        {rule}\n")


def test_nothing_sleeps_and_hopes() -> None:
    """A pause is no proof that something is done: only a hanging source and random kills sleep in tests/."""
    files = {
        file.relative_to(TESTS).as_posix(): file.read_text(encoding="utf-8") for file in TESTS.rglob("*.py")
    }
    assert sorted(SLEEPERS) == sorted(name for name, source in files.items() if sleeps(source))


@pytest.mark.parametrize("source", ["import time\ntime.sleep(1)", "from time import sleep\nsleep(1)"])
def test_a_sleep_is_found(source: str) -> None:
    """Both ways to call it are seen, by their lines."""
    assert [2] == sleeps(source)
