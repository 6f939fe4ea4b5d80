"""When work that Stripe did not let through comes back, and when in the night a customer's turn is. Pure.

Source: docs/decisions/0021-a-reconciliation-comes-back-by-the-calendar.md and
docs/decisions/0024-within-stripes-limits.md.
"""

from datetime import timedelta
from zlib import crc32

_FIRST = timedelta(minutes=5)
_LONGEST = timedelta(hours=2)
_SPREAD_S = 600

NIGHT = timedelta(hours=8)
"""Over how long the fleet's daily reconciliation is spread: 10,000 customers of 41 calls are 14 a second."""


def comes_back_after(customer_id: str, tries: int) -> timedelta:
    """Return how long to wait after ``tries`` earlier failures: 5, 10, 20 minutes …, two hours at the most.

    Customers are spread over ten minutes more, since a limit on calls meets many of them at once.
    """
    spread = timedelta(seconds=crc32(customer_id.encode()) % _SPREAD_S)
    return min(_FIRST * (1 << min(tries, 10)), _LONGEST) + spread


def turn_in_the_night(customer_id: str) -> timedelta:
    """Return how long after the night's beginning a customer is reconciled: each night the same."""
    return timedelta(seconds=crc32(customer_id.encode()) % int(NIGHT.total_seconds()))
