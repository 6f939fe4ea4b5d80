"""Counts and names inputs and outputs of all kinds, and lets the process die at one of them."""

from collections.abc import Callable
from random import Random

from testing.dynamodb import Call, FakeDynamoDb

_HALF = 0.5


class CrashError(Exception):
    """The process died here."""


class Steps:
    """One count over everything that is watched: calls of a table, calls of Stripe.

    A step's name is what is called: ``"put_item ledger"``, ``"POST /v1/billing/meter_events"``. ``where``
    says at which step the process died last, for a test's messages.
    """

    def __init__(self) -> None:
        self.where = "undisturbed"
        self._taken = 0
        self._left: int | None = None
        self._due = False
        self._name: str | None = None
        self._after = False

    def die_at(self, step: int, name: str | None = None, *, after: bool) -> None:
        """Die at the n-th step from now, counted from 1: before it has an effect, or after.

        With a name, only steps of that name are counted.
        """
        self._left, self._name, self._after, self._taken = step, name, after, 0
        self.where = "undisturbed"

    def live_on(self) -> None:
        """Die at no step."""
        self._left, self._due = None, False

    def risk(self, chances: Random, chance: float, act: Callable[[], object]) -> None:
        """Do something, and die on the way with a chance: at one of its first steps, before or after."""
        if chances.random() < chance:
            self.die_at(chances.randrange(1, 30), after=chances.random() < _HALF)
        try:
            act()
        except CrashError:
            return
        finally:
            self.live_on()

    def begin(self, name: str) -> None:
        """Begin a step."""
        self._taken += 1
        # A step that fails is never ended, so each begins undue.
        self._due = False
        if self._left is not None and self._name in {None, name}:
            self._left -= 1
            self._due = self._left == 0
        if self._due and not self._after:
            self._die("before", name)

    def end(self, name: str) -> None:
        """End a step: it has had its effect."""
        if self._due and self._after:
            self._die("after", name)

    def dynamodb(self) -> FakeDynamoDb:
        """Return a DynamoDB whose calls are steps."""
        return FakeDynamoDb(
            before=lambda call: self.begin(_named(call)), after=lambda call: self.end(_named(call))
        )

    def _die(self, moment: str, name: str) -> None:
        self.live_on()
        self.where = f"{moment} step {self._taken}, {name}"
        raise CrashError(self.where)


def _named(call: Call) -> str:
    return f"{call.operation} {call.table}"
