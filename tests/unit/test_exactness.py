"""No float touches money or quantities, and the core reads no clock."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import metering

PACKAGE = Path(metering.__path__[0])
FUNCTIONS = PACKAGE.parents[2] / "functions"
CORE = sorted((PACKAGE / "core").glob("[!_]*.py"))
FIGURES = [*CORE, *(FUNCTIONS / "usage_query" / f"{name}.py" for name in ("current_period", "days", "flags"))]

FLOAT_MODULES = {"math", "statistics", "random", "fractions", "numpy", "cmath"}
CLOCK_MODULES = {"time", "os"}
# Of these, `timestamp` and `total_seconds` give floats, `fromtimestamp` takes them.
FLOAT_METHODS = {"total_seconds", "timestamp", "fromtimestamp", "from_float", "fromhex", "utcfromtimestamp"}
CLOCK_METHODS = {"now", "utcnow", "today", "monotonic", "time_ns"}


def floats(tree: ast.AST) -> Iterator[str]:
    """Yield every way in which a float could come about: there is no `/` at all, so ints cannot make one."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float() | complex() as number):
                yield f"{node.lineno}: float literal {number!r}"
            case ast.Name(id="float" | "round"):
                yield f"{node.lineno}: {node.id}"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"{node.lineno}: true division"
            case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):
                yield f"{node.lineno}: negative power"
            case ast.Attribute(attr=name) if name in FLOAT_METHODS:
                yield f"{node.lineno}: .{name}"
            case ast.Import() | ast.ImportFrom() if imported(node) & FLOAT_MODULES:
                yield f"{node.lineno}: import of {imported(node)}"


def clocks(tree: ast.AST) -> Iterator[str]:
    """Yield every way in which the present could be read."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if name in CLOCK_METHODS:
                yield f"{node.lineno}: .{name}"
            case ast.Import() | ast.ImportFrom() if imported(node) & CLOCK_MODULES:
                yield f"{node.lineno}: import of {imported(node)}"


def imported(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Return the top packages that a statement imports."""
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("module", FIGURES, ids=lambda path: path.stem)
def test_no_floats(module: Path) -> None:
    """Where money and quantities are computed nothing can make a float."""
    assert [] == list(floats(ast.parse(module.read_text())))


@pytest.mark.parametrize("module", CORE, ids=lambda path: path.stem)
def test_no_clock(module: Path) -> None:
    """The core is told the time and reads neither clock nor environment."""
    assert [] == list(clocks(ast.parse(module.read_text())))


@pytest.mark.parametrize(
    "line",
    [
        "x = 0.5",
        "x = float(y)",
        "x = a / b",
        "x /= 2",
        "x = 10 ** -9",
        "x = span.total_seconds()",
        "x = round(y)",
        "import math",
        "from statistics import mean",
        "x = map(float, y)",
    ],
)
def test_a_float_would_be_found(line: str) -> None:
    """Each way to a float is found by the scan."""
    assert 1 == len(list(floats(ast.parse(line))))


@pytest.mark.parametrize(
    "line", ["x = datetime.now(UTC)", "x = date.today()", "import time", "from os import environ"]
)
def test_a_clock_would_be_found(line: str) -> None:
    """Each way to the clock or the environment is found by the scan."""
    assert 1 == len(list(clocks(ast.parse(line))))
