"""Idempotency keys: the first answer is given again (Stripe, "Idempotent requests")."""

from dataclasses import dataclass

from stripe_simulator.engine.periods import DAY
from stripe_simulator.engine.state import Json
from stripe_simulator.protocol.errors import StripeRefusalError
from stripe_simulator.protocol.forms import Form

KEPT_S = DAY
LONGEST_KEY = 255


@dataclass(frozen=True)
class Kept:
    """The first answer under a key, and the call that it was the answer to."""

    method: str
    path: str
    form: Form
    status: int
    body: Json
    request_id: str
    at: int


class IdempotencyKeys:
    """The answers under the keys of the last 24 hours."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def first_answer(self, key: str, method: str, path: str, form: Form, now: int) -> Kept | None:
        """The answer to give again, None when the key is new or forgotten.

        Raises
        ------
        StripeRefusalError
            The key was used with another call or other parameters, or is too long.
        """
        if len(key) > LONGEST_KEY:
            raise StripeRefusalError(
                f"Idempotency keys can have at most {LONGEST_KEY} characters.", before_endpoint=True
            )
        kept = self._kept.get(key)
        if kept is None or now >= kept.at + KEPT_S:
            return None
        if (kept.method, kept.path) != (method, path):
            raise self._mismatch(
                "Keys for idempotent requests can only be used for the same endpoint they were first "
                f"used for ('{path}' vs '{kept.path}').",
                key,
            )
        if kept.form != form:
            raise self._mismatch(
                "Keys for idempotent requests can only be used with the same parameters they were first used "
                "with.",
                key,
            )
        return kept

    def keep(self, key: str, kept: Kept) -> None:
        """Remember an answer under its key."""
        self._kept[key] = kept

    @staticmethod
    def _mismatch(message: str, key: str) -> StripeRefusalError:
        return StripeRefusalError(
            f"{message} Try using a key other than '{key}' if you meant to execute a different request.",
            kind="idempotency_error",
            before_endpoint=True,
        )
