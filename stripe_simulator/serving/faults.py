"""Faults on demand: which call fails, how, how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stripe_simulator.protocol.forms import Form

KINDS = (
    "500",
    "500_after",
    "409",
    "429",
    "hang",
    "hang_after",
    "hold",
    "drop_before",
    "drop_after",
    "processed_late",
)


class BadFaultError(ValueError):
    """A fault described in words that the simulator does not know."""


@dataclass
class Fault:
    """One fault.

    Parameters
    ----------
    kind
        ``500`` answers 500 before anything changed, ``500_after`` after it did; both are kept under the
        Idempotency-Key. ``409`` refuses as if another call had the key, ``429`` as one too many. ``hang``
        never answers and changes nothing; ``hang_after`` changes and never answers. ``hold`` answers properly
        once released, keeping the customer's meter and the Idempotency-Key busy. ``drop_before`` and
        ``drop_after`` cut the connection before and after the change. ``processed_late`` answers 200 to a
        meter event at once and processes it ``after_s`` later.
    method, path_prefix, identifier_prefix
        Which calls it hits; empty hits all. The identifier is a meter event's.
    skip
        How many matching calls pass before the first is hit.
    times
        How many calls it hits.
    after_s
        Seconds of simulated time, for ``processed_late``.
    """

    kind: str
    method: str = ""
    path_prefix: str = ""
    identifier_prefix: str = ""
    skip: int = 0
    times: int = 1
    after_s: int = 0

    def matches(self, method: str, path: str, form: Form) -> bool:
        """Whether a call is one that this fault may hit."""
        identifier = form.get("identifier", "")
        return (
            self.method in {"", method}
            and path.startswith(self.path_prefix)
            and isinstance(identifier, str)
            and identifier.startswith(self.identifier_prefix)
        )


class Faults:
    """The faults still to come, first described first used."""

    def __init__(self) -> None:
        self.pending: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a fault at the end of the list."""
        self.pending.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        self.pending.clear()

    def next_for(self, method: str, path: str, form: Form) -> Fault | None:
        """The fault that hits a call, counted; None lets the call through."""
        for fault in self.pending:
            if not fault.matches(method, path, form):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self.pending.remove(fault)
            return fault
        return None


def described(words: Mapping[str, Any]) -> Fault:
    """The fault that a JSON object describes.

    ``{"kind": …, "match": {"method", "path_prefix", "identifier_prefix"}, "skip", "times", "after_s"}``

    Raises
    ------
    BadFaultError
        A kind, name or type that is not one of these.
    """
    match = words.get("match", {})
    unknown = set(words) - {"kind", "match", "skip", "times", "after_s"}
    unknown |= set(match) - {"method", "path_prefix", "identifier_prefix"}
    if unknown:
        raise BadFaultError(f"A fault has no {', '.join(sorted(unknown))}.")
    if words.get("kind") not in KINDS:
        raise BadFaultError(f"A fault's kind is one of {', '.join(KINDS)}.")
    numbers = {name: words[name] for name in ("skip", "times", "after_s") if name in words}
    if not all(isinstance(number, int) and number >= 0 for number in numbers.values()):
        raise BadFaultError("skip, times and after_s are whole numbers, not negative.")
    return Fault(kind=words["kind"], **match, **numbers)
