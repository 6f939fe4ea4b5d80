"""The present, which every command takes from here and hands on."""

from datetime import UTC, datetime


def present() -> datetime:
    """Return the present in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
