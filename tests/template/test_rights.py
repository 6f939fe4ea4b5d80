"""What each function's role may do to the tables is what its code does to them, no more and no less."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local.environment import REPOSITORY
from tests.template.conftest import Processing

_TABLES = REPOSITORY / "layers/metering/metering/tables"
# The base methods of `metering.tables.access`, and what they ask of DynamoDB.
_OPERATIONS = {
    "get": "GetItem",
    "query": "Query",
    "items_with_prefix": "Query",
    "items_between": "Query",
    "put_item": "PutItem",
    "put_if": "PutItem",
    "update_if": "UpdateItem",
    "delete_if": "DeleteItem",
    "delete_item": "DeleteItem",
}
# By the name of its property of `metering.tables.tables.Tables`: the module, and the table it lies in.
_MODULES = {
    "customers": ("customers", "Customers"),
    "instances": ("instances", "Customers"),
    "closings": ("closings", "Customers"),
    "late": ("charges", "Customers"),
    "settlements": ("charges", "Customers"),
    "adjustments": ("adjustments", "Customers"),
    "invoices": ("period_invoices", "Customers"),
    "alerts": ("alerts", "Customers"),
    "reports": ("reports", "Reports"),
    "markers": ("markers", "Markers"),
    "hours": ("hours", "Hours"),
    "ledger": ("ledger", "Ledger"),
    "audit": ("audit", "Audit"),
}
_USE = re.compile(rf"\b({'|'.join(_MODULES)})\.(\w+)")


@cache
def _calls(module: str) -> dict[str, set[str]]:
    """The methods that each method of a module's classes calls on itself."""
    trees = [ast.parse((_TABLES / f"{name}.py").read_text()) for name in (module, "records")]
    return {
        method.name: {
            node.func.attr
            for node in ast.walk(method)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "self"
        }
        for tree in trees
        for row in tree.body
        if isinstance(row, ast.ClassDef)
        for method in row.body
        if isinstance(method, ast.FunctionDef)
    }


def _operations(module: str, method: str) -> set[str]:
    if method in _OPERATIONS:
        return {_OPERATIONS[method]}
    called = _calls(module).get(method, set())
    return {operation for name in called for operation in _operations(module, name)}


def _sources(function: str) -> Iterator[Path]:
    """The function's files, and the modules of the layer that work on several tables for it."""
    own = sorted((REPOSITORY / "functions" / function).glob("*.py"))
    yield from own
    text = "".join(path.read_text() for path in own)
    for shared in ("usage", "hour_pairs"):
        if f"metering.tables.{shared} import" in text:
            yield _TABLES / f"{shared}.py"


def _used(function: str) -> set[tuple[str, str]]:
    return {
        (_MODULES[table][1], operation)
        for path in _sources(function)
        for table, method in _USE.findall(path.read_text())
        for operation in _operations(_MODULES[table][0], method)
    }


def _allowed(statements: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {
        (resource["Fn::GetAtt"][0].removesuffix("Table"), action.removeprefix("dynamodb:"))
        for row in statements
        for action in _listed(row.get("Action", []))
        if action.startswith("dynamodb:")
        for resource in _listed(row["Resource"])
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("function", ["authorizer", "ingest", "aggregate", "stripe_report", "usage_query"])
def test_rights_are_what_the_code_uses(processing: Processing, function: str) -> None:
    """A role may do to each table exactly what its function's code does."""
    (role,) = (
        row["Properties"]
        for row in processing()["Resources"].values()
        if row["Type"] == "AWS::IAM::Role"
        and row["Properties"].get("Policies", [{}])[0].get("PolicyName") == function
    )
    statements = [row for policy in role["Policies"] for row in policy["PolicyDocument"]["Statement"]]
    assert sorted(_used(function)) == sorted(_allowed(statements))
