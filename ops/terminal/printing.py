"""How commands show an answer: as a table or a sentence for people, or as JSON for programs.

Every value is printed as given: customers bear names such as ``Nordwind [/old] AG``, and Stripe's texts hold
what they like. So nothing here is markup and no word between colons is an emoji; nothing else imports rich.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

LOG_WIDTH = 140
"""Columns of a table in a file or a pipe, which has no width of its own; a terminal has."""

console = Console(
    markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH
)
messages = Console(stderr=True, markup=False, emoji=False, highlight=False)
"""What is not the answer: progress, warnings."""


def print_json(value: Any) -> None:
    """Print an answer for programs."""
    print(json.dumps(value, indent=2))


def print_rows(
    rows: Iterable[Sequence[Any]], columns: Sequence[str], *, as_json: bool, title: str | None = None
) -> None:
    """Print rows as a table, or as a JSON list of objects whose names are the columns'."""
    if as_json:
        print_json(named(rows, columns))
        return
    # What does not fit goes on in the next line; nothing is cut off.
    table = Table(*(Column(name, overflow="fold") for name in columns), title=title)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table)


def named(rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return rows as JSON has them: objects whose names are the columns'."""
    return [dict(zip(columns, row, strict=True)) for row in rows]


def progress[T](sequence: Sequence[T], description: str) -> Iterator[T]:
    """Show a bar while a sequence is worked through, where a person watches."""
    with _bars(messages, disable=not messages.is_terminal) as bars:
        yield from bars.track(sequence, description=description)


@contextmanager
def measured(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while work of a known length is done; yield what is told how much of it is."""
    with _bars(console) as bars:
        task = bars.add_task(description, total=total)
        yield lambda completed: bars.update(task, completed=completed)


def _bars(shown_on: Console, *, disable: bool = False) -> Progress:
    description = TextColumn("{task.description}", markup=False)
    columns = (description, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=shown_on, transient=True, disable=disable)
