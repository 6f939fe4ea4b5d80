"""The ``expand`` parameter: what Stripe leaves out, or shows as an id, unless asked."""

from collections.abc import Mapping, Sequence

from stripe_simulator.engine.objects import StripeObject
from stripe_simulator.engine.state import Json, State
from stripe_simulator.protocol.errors import StripeRefusalError, invalid_parameter

_DEEPEST = 4


def shaped(state: State, body: Json, expand: Sequence[str], now: int, *, strict: bool) -> Json:
    """An answer as the caller asked to see it.

    A price's ``tiers`` are there only when expanded, and an id whose path is expanded becomes the object.

    Parameters
    ----------
    strict
        Refuse a path that the answer does not have; not for calls that have already changed something.

    Raises
    ------
    StripeRefusalError
        A path that cannot be expanded, when strict.
    """
    walk = _Walk(state, frozenset(expand), now)
    shown = walk.shown(body, "")
    for path in expand if strict else ():
        parent, _, _ = path.rpartition(".")
        if parent in walk.objects and path not in walk.seen:
            raise StripeRefusalError(f"This property cannot be expanded ({path}).", param="expand")
    assert isinstance(shown, dict)
    return shown


def refuse_too_deep(expand: Sequence[str]) -> None:
    """Refuse a path of more than four levels, before anything is changed."""
    for path in expand:
        if path.count(".") >= _DEEPEST:
            message = f"You cannot expand more than {_DEEPEST} levels of a property. Property: {path}"
            raise invalid_parameter(message, "expand")


class _Walk:
    def __init__(self, state: State, wanted: frozenset[str], now: int) -> None:
        self._state = state
        self._wanted = wanted
        self._objects = _objects(state)
        self._now = now
        self.seen: set[str] = set()
        self.objects: set[str] = set()

    def shown(self, value: object, path: str) -> object:
        if isinstance(value, list):
            return [self.shown(entry, path) for entry in value]
        if not isinstance(value, dict):
            return value
        self.objects.add(path)
        if value.get("object") == "price":
            # only a price with tiers has them, but each may be asked for them
            self.seen.add(f"{path}.tiers" if path else "tiers")
        return {
            name: self._member(inner, f"{path}.{name}" if path else name)
            for name, inner in value.items()
            if not self._is_left_out(value, name, f"{path}.{name}" if path else name)
        }

    def _is_left_out(self, holder: Json, name: str, path: str) -> bool:
        # an object's own id is no reference
        if name != "id":
            self.seen.add(path)
        return name == "tiers" and holder.get("object") == "price" and path not in self._wanted

    def _member(self, value: object, path: str) -> object:
        if path in self._wanted and path in self.seen and isinstance(value, str):
            objects = self._objects.get(value.partition("_")[0])
            if objects is None:
                self.seen.discard(path)
            else:
                value = self._state.shown(objects[value], self._now)
        return self.shown(value, path)


def _objects(state: State) -> dict[str, Mapping[str, StripeObject]]:
    """What an id can be expanded to, by the id's prefix."""
    return {
        "cus": state.customers,
        "in": state.invoices,
        "price": state.prices,
        "prod": state.products,
        "sub": state.subscriptions,
    }
