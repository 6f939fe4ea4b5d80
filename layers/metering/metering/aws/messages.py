"""Work and tasks as types: one frozen model a kind, told apart by one field (``work``, ``task``).

A function's ``messages.py`` lists its kinds; a batch is then ``match read(body): case Recompute(): …``. What
no model takes is refused. Times are instants in the models and text only on the wire.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError


class Message(BaseModel):
    """Base of every kind of work and of every task.

    Their schemas are built when they are first needed: an invocation has either work or a task.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


ON_FIRST_USE = ConfigDict(defer_build=True)
"""For the type adapters of the kinds, as for the kinds themselves."""


class UnknownWorkError(ValueError):
    """A message or an invocation that asks for nothing we do; the text names each field that is wrong."""


def read_message[M](kinds: TypeAdapter[M], given: str | dict[str, Any]) -> M:
    """Read a message's body, or an invocation's event, as one of the kinds.

    Raises
    ------
    UnknownWorkError
        When it is none of them.
    """
    try:
        return kinds.validate_json(given) if isinstance(given, str) else kinds.validate_python(given)
    except ValidationError as error:
        raise UnknownWorkError("; ".join(_reasons(error))) from None


def _reasons(error: ValidationError) -> Iterator[str]:
    for row in error.errors(include_url=False, include_input=False):
        known = row.get("ctx", {})
        if row["type"] == "union_tag_invalid":
            name = known["discriminator"].strip("'")
            yield f"no such {name}: {known['tag']!r}; there are {known['expected_tags']}"
        else:
            yield f"{'.'.join(str(part) for part in row['loc']) or 'message'}: {row['msg']}"
