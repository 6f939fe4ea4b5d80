"""DynamoDB's condition and key expressions, as far as the table modules write them.

Whatever a module might write beyond it is refused loudly, so that the fake never answers by guess. Source:
the Amazon DynamoDB Developer Guide, "Condition and filter expressions, operators, and functions".
"""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

type Item = dict[str, Any]
type _Value = tuple[str, Any] | None
type _Operand = Callable[[Item, Mapping[str, Any], Mapping[str, str]], _Value]
type Condition = Callable[[Item, Mapping[str, Any], Mapping[str, str]], bool]

_TOKEN = re.compile(r"\s*(<=|>=|<>|[=<>(),]|[:#]?[A-Za-z_][A-Za-z0-9_]*)")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class UnsupportedExpressionError(Exception):
    """The fake does not know this form; the real service may."""


@cache
def parse(expression: str) -> tuple[Condition, frozenset[str], frozenset[str]]:
    """Return an expression's meaning, with the value and name placeholders that it uses."""
    tokens: list[str] = []
    position = 0
    while position < len(expression.rstrip()):
        found = _TOKEN.match(expression, position)
        if found is None:
            raise UnsupportedExpressionError(expression)
        tokens.append(found[1])
        position = found.end()
    reader = _Reader(tokens, expression)
    condition = reader.either()
    if reader.position != len(tokens):
        raise UnsupportedExpressionError(expression)
    return (
        condition,
        frozenset(token for token in tokens if token.startswith(":")),
        frozenset(token for token in tokens if token.startswith("#")),
    )


def _plain(attribute: Mapping[str, Any]) -> tuple[str, Any]:
    ((kind, value),) = attribute.items()
    return kind, Decimal(value) if kind == "N" else value


@dataclass
class _Reader:
    tokens: list[str]
    expression: str
    position: int = 0

    def either(self) -> Condition:
        parts = [self.both()]
        while self.take("OR"):
            parts.append(self.both())
        return lambda *given: any(part(*given) for part in parts)

    def both(self) -> Condition:
        parts = [self.one()]
        while self.take("AND"):
            parts.append(self.one())
        return lambda *given: all(part(*given) for part in parts)

    def one(self) -> Condition:
        if self.take("NOT"):
            inner = self.one()
            return lambda *given: not inner(*given)
        if self.take("("):
            inner = self.either()
            self.need(")")
            return inner
        match self.peek():
            case "attribute_exists" | "attribute_not_exists" as name:
                (path,) = self.arguments(1)
                wanted = name == "attribute_exists"
                return lambda *given: (path(*given) is not None) is wanted
            case "begins_with":
                whole, prefix = self.arguments(2)
                return lambda *given: _begins(whole(*given), prefix(*given))
        return self.comparison()

    def comparison(self) -> Condition:
        left = self.operand()
        if self.take("BETWEEN"):
            low = self.operand()
            self.need("AND")
            high = self.operand()
            return lambda *given: (
                _compare(operator.ge, left(*given), low(*given))
                and _compare(operator.le, left(*given), high(*given))
            )
        sign = self.next()
        if sign == "<>":
            right = self.operand()
            return lambda *given: left(*given) != right(*given)
        if sign not in _COMPARISONS:
            raise UnsupportedExpressionError(self.expression)
        right = self.operand()
        return lambda *given: _compare(_COMPARISONS[sign], left(*given), right(*given))

    def operand(self) -> _Operand:
        token = self.next()
        if token.startswith(":"):
            return lambda _item, values, _names: _plain(values[token])
        if not (token[0] == "#" or token[0].isalpha()):
            raise UnsupportedExpressionError(self.expression)
        return lambda item, _values, names: (
            _plain(item[name]) if (name := names.get(token, token)) in item else None
        )

    def arguments(self, number: int) -> Iterator[_Operand]:
        self.next()
        self.need("(")
        for index in range(number):
            if index:
                self.need(",")
            yield self.operand()
        self.need(")")

    def peek(self) -> str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def next(self) -> str:
        token = self.peek()
        if token is None:
            raise UnsupportedExpressionError(self.expression)
        self.position += 1
        return token

    def take(self, token: str) -> bool:
        if self.peek() != token:
            return False
        self.position += 1
        return True

    def need(self, token: str) -> None:
        if not self.take(token):
            raise UnsupportedExpressionError(self.expression)


def _compare(sign: Callable[[Any, Any], bool], left: _Value, right: _Value) -> bool:
    """Compare as DynamoDB does: what is absent or of another type is never equal, less or greater."""
    return left is not None and right is not None and left[0] == right[0] and sign(left[1], right[1])


def _begins(whole: _Value, prefix: _Value) -> bool:
    return (
        whole is not None and prefix is not None and whole[0] == prefix[0] and whole[1].startswith(prefix[1])
    )
