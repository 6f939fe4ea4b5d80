"""Reading TypeScript declarations: so much of the language as stripe-node's published types use.

Comments, methods and classes are passed over. An interface's fields tell what is always there, what may be
absent (``name?:``) and what may be null (``| null``), which the types of the Python SDK do not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[\w$]+|=>|\.\.\.|[^\s\w]")


@dataclass(frozen=True)
class Literal:
    """One string, number or boolean."""

    value: object


@dataclass(frozen=True)
class Named:
    """A name, dotted or not, with its arguments."""

    path: tuple[str, ...]
    arguments: "tuple[Type, ...]" = ()


@dataclass(frozen=True)
class Union:
    """Any of several types."""

    members: "tuple[Type, ...]"


@dataclass(frozen=True)
class Mapping:
    """Any names, with values of one type."""

    value: "Type"


@dataclass(frozen=True)
class Opaque:
    """A type that no answer has: functions, intersections, tuples."""


type Type = Literal | Named | Union | Mapping | Opaque | Interface


@dataclass(frozen=True)
class Field:
    """A field of an interface; ``optional`` ones may be absent."""

    type: Type
    optional: bool


@dataclass
class Interface:
    """The fields of an object, and the interfaces that it extends."""

    fields: dict[str, Field] = field(default_factory=dict)
    extends: tuple[Type, ...] = ()
    parameters: tuple[str, ...] = ()
    values: Type | None = None


@dataclass
class Scope:
    """The names that a module or a namespace declares; one name can be a type and a namespace."""

    types: dict[str, Type] = field(default_factory=dict)
    namespaces: "dict[str, Scope]" = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)


def read(text: str) -> Scope:
    """The declarations of a module."""
    tokens = _Tokens(_TOKEN.findall(_COMMENT.sub(" ", text)))
    scope = Scope()
    _declarations(tokens, scope)
    return scope


class _Tokens:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._place = 0

    def peek(self, ahead: int = 0) -> str:
        place = self._place + ahead
        return self._tokens[place] if place < len(self._tokens) else ""

    def next(self) -> str:
        self._place += 1
        return self._tokens[self._place - 1]

    def take(self, token: str) -> bool:
        """Pass a token if it is next."""
        if self.peek() == token:
            self._place += 1
            return True
        return False

    def expect(self, token: str) -> None:
        found = self.next()
        assert found == token, f"{token} expected, {found} found before {self._tokens[self._place :][:8]}"

    def skip(self, *stops: str) -> None:
        """Pass everything up to one of some tokens on this level, and it."""
        depth = 0
        while self.peek():
            token = self.next()
            if depth == 0 and token in stops:
                return
            depth += (token in "{([<") - (token in "})]>" and token != "=>")


def _declarations(tokens: _Tokens, scope: Scope) -> None:
    while tokens.peek() and tokens.peek() != "}":
        for word in ("export", "declare", "default", "abstract"):
            tokens.take(word)
        word = tokens.peek()
        if word == "import":
            _import(tokens, scope)
        elif word == "interface":
            tokens.next()
            _interface(tokens, scope)
        elif word == "type" and tokens.peek(1).isidentifier():
            _alias(tokens, scope)
        elif word == "namespace":
            _namespace(tokens, scope)
        elif word in {"class", "enum"}:
            tokens.skip("{")
            tokens.skip("}")
        elif word == "{":
            tokens.next()
            tokens.skip("}")
            tokens.skip(";")
        else:
            tokens.skip(";")


def _alias(tokens: _Tokens, scope: Scope) -> None:
    """``type A<B> = C;``; what it is generic over is not needed."""
    tokens.expect("type")
    name = tokens.next()
    if tokens.take("<"):
        tokens.skip(">")
    tokens.expect("=")
    scope.types[name] = _type(tokens)
    tokens.take(";")


def _namespace(tokens: _Tokens, scope: Scope) -> None:
    """``namespace A.B { … }``."""
    tokens.expect("namespace")
    for part in _dotted(tokens):
        scope = scope.namespaces.setdefault(part, Scope())
    tokens.expect("{")
    _declarations(tokens, scope)
    tokens.expect("}")


def _import(tokens: _Tokens, scope: Scope) -> None:
    """``import { A, B as C } from 'x'`` and ``import * as D from 'x'``."""
    tokens.expect("import")
    tokens.take("type")
    names: list[tuple[str, str]] = []
    if tokens.take("*"):
        tokens.expect("as")
        names.append((tokens.next(), "*"))
    elif tokens.take("{"):
        while not tokens.take("}"):
            name = tokens.next()
            names.append((tokens.next() if tokens.take("as") else name, name))
            tokens.take(",")
    else:
        tokens.skip(";")
        return
    tokens.expect("from")
    source = tokens.next()[1:-1]
    tokens.take(";")
    for local, name in names:
        scope.imports[local] = (source, name)


def _interface(tokens: _Tokens, scope: Scope) -> None:
    name = tokens.next()
    parameters: list[str] = []
    if tokens.take("<"):
        while not tokens.take(">"):
            parameters.append(tokens.next())
            tokens.take(",")
    extends: list[Type] = []
    if tokens.take("extends"):
        extends.append(_single(tokens))
        while tokens.take(","):
            extends.append(_single(tokens))
    body = _body(tokens)
    before = scope.types.get(name)
    known = before.fields if isinstance(before, Interface) else {}
    scope.types[name] = Interface({**known, **body.fields}, tuple(extends), tuple(parameters), body.values)


def _body(tokens: _Tokens) -> Interface:
    tokens.expect("{")
    found = Interface()
    while not tokens.take("}"):
        tokens.take("readonly")
        if tokens.take("["):
            tokens.skip("]")
            tokens.expect(":")
            found.values = _type(tokens)
        else:
            name = tokens.next().strip("'\"")
            optional = tokens.take("?")
            if tokens.peek() in {"(", "<"}:
                tokens.skip(";")
                continue
            tokens.expect(":")
            found.fields[name] = Field(_type(tokens), optional)
        tokens.take(";")
        tokens.take(",")
    return found


def _type(tokens: _Tokens) -> Type:
    tokens.take("|")
    members = [_single(tokens)]
    while tokens.peek() in {"|", "&"}:
        tokens.next()
        members.append(_single(tokens))
    return members[0] if len(members) == 1 else Union(tuple(members))


def _single(tokens: _Tokens) -> Type:
    token = tokens.peek()
    found: Type
    if token == "{":
        body = _body(tokens)
        found = Mapping(body.values) if body.values is not None and not body.fields else body
    elif token == "(":
        tokens.next()
        tokens.skip(")")
        if tokens.take("=>"):
            _type(tokens)
        found = Opaque()
    elif token[0] in "'\"":
        found = Literal(tokens.next()[1:-1])
    elif token in {"true", "false"}:
        found = Literal(tokens.next() == "true")
    else:
        path = tuple(_dotted(tokens))
        arguments = tuple(_arguments(tokens)) if tokens.take("<") else ()
        found = Named(path, arguments)
    while tokens.take("["):
        tokens.expect("]")
        found = Named(("Array",), (found,))
    return found


def _dotted(tokens: _Tokens) -> Iterator[str]:
    yield tokens.next()
    while tokens.take("."):
        yield tokens.next()


def _arguments(tokens: _Tokens) -> Iterator[Type]:
    yield _type(tokens)
    while tokens.take(","):
        yield _type(tokens)
    tokens.expect(">")
