"""What a call's parameters may be called and what they may hold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from stripe_simulator.protocol.errors import invalid_parameter, missing_parameter, unknown_parameter
from stripe_simulator.protocol.forms import Form

type Given = str | Form
type Parameters = dict[str, Any]

_INTEGER = re.compile(r"-?\d+")
_PLAIN_DECIMAL = re.compile(r"-?\d+(\.\d+)?")
_METADATA_KEY_LENGTH = 40
_METADATA_VALUE_LENGTH = 500
_METADATA_KEYS = 50


class Kind(Protocol):
    """One kind of parameter: turns what the form holds into a value, or refuses it."""

    def read(self, name: str, given: Given) -> Any:
        """The value, or a refusal that names the parameter."""
        ...


@dataclass(frozen=True)
class Text:
    """A string; empty is refused unless the parameter may be unset by it."""

    longest: int = 5000
    may_be_empty: bool = False

    def read(self, name: str, given: Given) -> str:
        """The string itself."""
        if isinstance(given, dict):
            raise invalid_parameter("Invalid string: must be a string, not an object", name)
        if not given and not self.may_be_empty:
            raise invalid_parameter(
                f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a "
                f"parameter; however '{name}' cannot be unset. You should remove '{name}' from your request "
                "or supply a non-empty value.",
                name,
                "parameter_invalid_empty",
            )
        if len(given) > self.longest:
            raise invalid_parameter(
                f"Invalid string: {given[:20]}...; must be at most {self.longest} characters", name
            )
        return given


@dataclass(frozen=True)
class Whole:
    """An integer between two bounds, both inclusive."""

    least: int | None = None
    most: int | None = None

    def read(self, name: str, given: Given) -> int:
        """The integer."""
        if not isinstance(given, str) or not _INTEGER.fullmatch(given):
            raise invalid_parameter(f"Invalid integer: {given}", name, "parameter_invalid_integer")
        value = int(given)
        if self.least is not None and value < self.least:
            raise invalid_parameter(
                f"This value must be greater than or equal to {self.least}.",
                name,
                "parameter_invalid_integer",
            )
        if self.most is not None and value > self.most:
            raise invalid_parameter(
                f"This value must be less than or equal to {self.most}.", name, "parameter_invalid_integer"
            )
        return value


@dataclass(frozen=True)
class Exact:
    """A decimal number written plainly, with at most so many digits after the point."""

    places: int = 12

    def read(self, name: str, given: Given) -> Decimal:
        """The number, exact."""
        if not isinstance(given, str) or not _PLAIN_DECIMAL.fullmatch(given):
            raise invalid_parameter(f"Invalid decimal: {given}", name)
        _, _, fraction = given.partition(".")
        if len(fraction) > self.places:
            raise invalid_parameter(
                f"Invalid decimal: {given}; must have at most {self.places} decimal places", name
            )
        return Decimal(given)


@dataclass(frozen=True)
class Flag:
    """A boolean, written true or false."""

    def read(self, name: str, given: Given) -> bool:
        """The boolean."""
        if given not in {"true", "false"}:
            raise invalid_parameter(f"Invalid boolean: {given}", name)
        return given == "true"


@dataclass(frozen=True)
class OneOf:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, name: str, given: Given) -> str:
        """The word."""
        if not isinstance(given, str) or given not in self.words:
            raise invalid_parameter(f"Invalid {name}: must be one of {', '.join(self.words)}", name)
        return given


@dataclass(frozen=True)
class Words:
    """A list of strings."""

    most: int = 100

    def read(self, name: str, given: Given) -> list[str]:
        """The strings in their order."""
        entries = _entries(name, given)
        if len(entries) > self.most:
            raise invalid_parameter(f"Array {name} exceeded maximum {self.most} allowed elements.", name)
        return [Text().read(f"{name}[{index}]", entry) for index, entry in enumerate(entries)]


@dataclass(frozen=True)
class Metadata:
    """Key-value pairs; an empty value unsets the key, an empty string unsets all (read as None)."""

    def read(self, name: str, given: Given) -> dict[str, str] | None:
        """The pairs, or None for all unset."""
        if given == "":
            return None
        if isinstance(given, str):
            raise invalid_parameter("Invalid metadata: metadata must be a set of key-value pairs", name)
        if len(given) > _METADATA_KEYS:
            raise invalid_parameter(f"Metadata can have at most {_METADATA_KEYS} keys", name)
        for key in given:
            if len(key) > _METADATA_KEY_LENGTH:
                raise invalid_parameter(f"Metadata keys have at most {_METADATA_KEY_LENGTH} characters", name)
        text = Text(longest=_METADATA_VALUE_LENGTH, may_be_empty=True)
        return {key: text.read(f"{name}[{key}]", value) for key, value in given.items()}


@dataclass(frozen=True)
class Pairs:
    """Strings under names of the caller's own choosing (a meter event's payload)."""

    def read(self, name: str, given: Given) -> dict[str, str]:
        """The pairs."""
        if isinstance(given, str):
            raise invalid_parameter("Invalid object", name)
        text = Text(may_be_empty=True)
        return {key: text.read(f"{name}[{key}]", value) for key, value in given.items()}


@dataclass(frozen=True)
class Record:
    """Named parameters, some of which must be there."""

    fields: Mapping[str, Kind]
    required: tuple[str, ...] = ()

    def read(self, name: str, given: Given) -> Parameters:
        """The values by name; parameters that were not given are absent."""
        if isinstance(given, str):
            raise invalid_parameter("Invalid object", name)
        return read(self, given, name)


@dataclass(frozen=True)
class Records:
    """A list of records."""

    of: Record
    most: int = 100

    def read(self, name: str, given: Given) -> list[Parameters]:
        """The records in their order."""
        entries = _entries(name, given)
        if len(entries) > self.most:
            raise invalid_parameter(f"Array {name} exceeded maximum {self.most} allowed elements.", name)
        return [self.of.read(f"{name}[{index}]", entry) for index, entry in enumerate(entries)]


@dataclass(frozen=True)
class EitherOr:
    """A word out of a few, or else another kind (a tier's ``up_to``: ``inf`` or a number)."""

    words: tuple[str, ...]
    otherwise: Kind = field(default_factory=Whole)

    def read(self, name: str, given: Given) -> Any:
        """The word, or the other kind's value."""
        return given if given in self.words else self.otherwise.read(name, given)


def read(record: Record, given: Form, within: str = "") -> Parameters:
    """The values of a call's parameters.

    Unknown names are refused first, then missing ones, then values of the wrong form.

    Raises
    ------
    StripeRefusalError
        ``parameter_unknown``, ``parameter_missing``, or what the parameter's kind says.
    """
    for name in given:
        if name not in record.fields:
            raise unknown_parameter(_full_name(within, name))
    for name in record.required:
        if name not in given:
            raise missing_parameter(_full_name(within, name))
    return {name: record.fields[name].read(_full_name(within, name), value) for name, value in given.items()}


def _full_name(within: str, name: str) -> str:
    return f"{within}[{name}]" if within else name


def _entries(name: str, given: Given) -> list[Given]:
    if isinstance(given, str) or not all(key.isdigit() for key in given):
        raise invalid_parameter("Invalid array", name)
    return [given[key] for key in sorted(given, key=int)]


def merged_metadata(before: Mapping[str, str], change: Mapping[str, str] | None) -> dict[str, str]:
    """Metadata after an update: keys given are set, keys given empty are unset, None unsets all."""
    if change is None:
        return {}
    return {key: value for key, value in {**before, **change}.items() if value}


type Fields = Mapping[str, Kind]

EXPAND: Fields = {"expand": Words(most=20)}
PAGING: Fields = {
    "limit": Whole(least=1, most=100),
    "starting_after": Text(),
    "ending_before": Text(),
    **EXPAND,
}
EPOCH = Whole(least=0)
SPAN = Record({"gt": EPOCH, "gte": EPOCH, "lt": EPOCH, "lte": EPOCH})
