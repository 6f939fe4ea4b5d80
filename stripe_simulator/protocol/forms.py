"""Stripe's form encoding: brackets in names make trees."""

import re
from urllib.parse import parse_qsl

type Form = dict[str, str | Form]

_NAME = re.compile(r"(?P<head>[^\[\]]+)(?P<rest>(?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")


class BadFormError(ValueError):
    """A form whose names contradict each other or the bracket grammar."""


def decode(encoded: str) -> Form:
    """The tree that a form-encoded body or query string stands for.

    ``a[b][c]=1`` is ``{"a": {"b": {"c": "1"}}}``. A list comes as ``a[0][b]=1`` and stays a mapping with
    digits for keys, because only the parameter's declared kind tells a list from metadata whose keys are
    digits. ``a[]=x`` takes the next free index. A name given twice keeps its last value, as in Stripe.

    Raises
    ------
    BadFormError
        A name that is no bracket path, or that is a value in one place and a tree in another.
    """
    tree: Form = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True, strict_parsing=False):
        _place(tree, _path(name), value, name)
    return tree


def _path(name: str) -> list[str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise BadFormError(f"Invalid parameter name: {name}")
    return [match["head"], *_PART.findall(match["rest"])]


def _place(tree: Form, path: list[str], value: str, name: str) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part or str(len(tree)), {})
        if isinstance(below, str):
            raise BadFormError(f"Parameter is both a value and an object: {name}")
        tree = below
    last = path[-1] or str(len(tree))
    if isinstance(tree.get(last), dict):
        raise BadFormError(f"Parameter is both a value and an object: {name}")
    tree[last] = value
