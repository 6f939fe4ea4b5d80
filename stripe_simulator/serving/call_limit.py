"""The account's limit of calls a second (Stripe, "Rate limits")."""


class CallLimit:
    """How many calls the present second has had."""

    def __init__(self) -> None:
        self._second = 0
        self._calls = 0

    def reached(self, most: int, now: int) -> bool:
        """Count a call of a second (epoch seconds); whether it is one too many. 0 is no limit."""
        if now != self._second:
            self._second, self._calls = now, 0
        self._calls += 1
        return 0 < most < self._calls
