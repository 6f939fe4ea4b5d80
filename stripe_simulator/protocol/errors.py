"""Errors in the shape of Stripe's answers."""

from typing import Any

INVALID_REQUEST = "invalid_request_error"


class StripeRefusalError(Exception):
    """A request that the simulated Stripe refuses.

    Parameters
    ----------
    message
        What the caller reads, worded like Stripe's.
    status
        The HTTP status.
    code
        Stripe's machine-readable code, absent from the body when None.
    param
        The parameter at fault in bracket notation.
    kind
        Stripe's error ``type``.
    before_endpoint
        True when Stripe refuses before its endpoint starts to work; such an answer is not kept under the
        Idempotency-Key (Stripe, "Idempotent requests").
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        kind: str = INVALID_REQUEST,
        before_endpoint: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.kind = kind
        self.before_endpoint = before_endpoint

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer; absent fields are left out, as Stripe leaves them out."""
        fields = {"code": self.code, "message": self.message, "param": self.param, "type": self.kind}
        return {"error": {name: value for name, value in fields.items() if value is not None}}


def unknown_parameter(name: str) -> StripeRefusalError:
    """The refusal of a parameter that the call does not have."""
    return StripeRefusalError(
        f"Received unknown parameter: {name}", code="parameter_unknown", param=name, before_endpoint=True
    )


def missing_parameter(name: str) -> StripeRefusalError:
    """The refusal of a call without a parameter that it needs."""
    return StripeRefusalError(
        f"Missing required param: {name}.", code="parameter_missing", param=name, before_endpoint=True
    )


def invalid_parameter(message: str, name: str, code: str | None = None) -> StripeRefusalError:
    """The refusal of a value of the wrong form, found before the endpoint starts."""
    return StripeRefusalError(message, code=code, param=name, before_endpoint=True)


def no_such(kind: str, identity: str, param: str = "id") -> StripeRefusalError:
    """The refusal of an id that nothing has: 404 for the path's own, 400 for one that a parameter names."""
    return StripeRefusalError(
        f"No such {kind}: '{identity}'",
        status=404 if param == "id" else 400,
        code="resource_missing",
        param=param,
    )


def not_imitated(what: str, param: str) -> StripeRefusalError:
    """The refusal of what Stripe can do and this simulator cannot: said, never silently ignored."""
    return StripeRefusalError(f"The simulator does not imitate {what}.", param=param, before_endpoint=True)
