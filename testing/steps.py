"""Counts inputs and outputs of all kinds, and lets the process die at one of them."""

from typing import NoReturn

from testing.dynamodb import FakeDynamoDb


class CrashError(Exception):
    """The process died here."""


class Steps:
    """One count over everything that is watched: calls of a table, calls of Stripe."""

    def __init__(self) -> None:
        self.taken = 0
        self._dies_at: int | None = None
        self._after = False

    def die_at(self, step: int, *, after: bool) -> None:
        """Die at the n-th step from now, counted from 1: before it has an effect, or after."""
        self._dies_at, self._after = self.taken + step, after

    def live_on(self) -> None:
        """Die at no step."""
        self._dies_at = None

    def begin(self) -> int:
        """Begin a step; return its number."""
        self.taken += 1
        if self.taken == self._dies_at and not self._after:
            self._die()
        return self.taken

    def end(self, step: int) -> None:
        """End a step: it has had its effect."""
        if step == self._dies_at and self._after:
            self._die()

    def dynamodb(self) -> FakeDynamoDb:
        """Return a DynamoDB whose calls are steps."""
        return FakeDynamoDb(before=lambda _: self._begin(), after=lambda _: self.end(self.taken))

    def _begin(self) -> None:
        self.begin()

    def _die(self) -> NoReturn:
        self._dies_at = None
        raise CrashError
