"""Lists, as Stripe pages them."""

from collections.abc import Mapping, Sequence
from typing import Any

from stripe_simulator.protocol.errors import StripeRefusalError, no_such

DEFAULT_LIMIT = 10


def page(entries: Sequence[dict[str, Any]], parameters: Mapping[str, Any], url: str) -> dict[str, Any]:
    """One page of entries that are already in the order in which Stripe lists them.

    Parameters
    ----------
    entries
        All entries, each with an ``id``.
    parameters
        ``limit`` (10 unless given), and ``starting_after`` or ``ending_before`` with an entry's id.
    url
        The list's path; the SDK follows it to the next page.

    Raises
    ------
    StripeRefusalError
        Both cursors given, or a cursor that is none of the entries.
    """
    limit = parameters.get("limit", DEFAULT_LIMIT)
    after, before = parameters.get("starting_after"), parameters.get("ending_before")
    if after is not None and before is not None:
        raise StripeRefusalError(
            "Received both starting_after and ending_before parameters. Please pass in only one.",
            code="parameters_exclusive",
        )
    places = {entry["id"]: place for place, entry in enumerate(entries)}
    if before is not None:
        end = _place(places, before, "ending_before")
        start = max(0, end - limit)
        return _envelope(entries[start:end], has_more=start > 0, url=url)
    start = 0 if after is None else _place(places, after, "starting_after") + 1
    return _envelope(entries[start : start + limit], has_more=start + limit < len(entries), url=url)


def _place(places: Mapping[str, int], cursor: str, param: str) -> int:
    if cursor not in places:
        raise no_such("object", cursor, param)
    return places[cursor]


def _envelope(entries: Sequence[dict[str, Any]], *, has_more: bool, url: str) -> dict[str, Any]:
    return {"object": "list", "data": list(entries), "has_more": has_more, "url": url}


def within(created: int, span: Mapping[str, int]) -> bool:
    """Whether an instant lies in a span given as Stripe's ``gt``, ``gte``, ``lt``, ``lte``."""
    return (
        created > span.get("gt", -1)
        and created >= span.get("gte", 0)
        and created < span.get("lt", created + 1)
        and created <= span.get("lte", created)
    )
