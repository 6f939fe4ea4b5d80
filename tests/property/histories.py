"""Random lives of a customer's instances, and what their agents build and deliver in the course of them.

A journal builds revisions of its hours. It may be lost (a new one begins, with another ``state_id``, right
after it or with an overlap), restored from a copy (it builds revisions again that it built before, with other
content), or cloned (two twins build under one ``state_id``). Every report that was built is delivered, in any
order, some more than once. Source: docs/agent-design.md#fork and
docs/contract.md#several-journals-of-one-hour.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hypothesis import strategies as st

from metering.core.contract import Report
from testing.reports import gauge, report, source
from tests.property.scheduler import Choice

CUSTOMER = "cust_8f2c"
NOW = datetime(2028, 3, 2, 4, 20, tzinfo=UTC)
# The leap day's last hour, the next month's first, and the hour that is open.
HOURS = (
    datetime(2028, 2, 29, 23, tzinfo=UTC),
    datetime(2028, 3, 1, 0, tzinfo=UTC),
    datetime(2028, 3, 2, 4, tzinfo=UTC),
)
LIVES = ("grows", "grows", "grows", "ends", "lost", "lost with overlap", "restored", "cloned")


@dataclass(frozen=True, slots=True)
class Journal:
    """One journal's hour so far: what the next report would say. ``lineage`` is the agent that keeps it."""

    instance: str
    hour: datetime
    lineage: int
    state: str
    revision: int = 0
    since: int = 0
    until: int = 0
    requests: int = 0
    sent: int = 0
    devices: int = 0

    def grown(self, amount: int) -> "Journal":
        """The journal after some more of the hour, one revision later."""
        return replace(
            self,
            revision=self.revision + 1,
            until=min(self.until + 300 + amount, 3600),
            requests=self.requests + amount,
            sent=self.sent + amount * 1000,
            devices=amount,
        )

    def built(self, *, final: bool) -> Report:
        """The report of the journal as it is."""
        covered = self.until - self.since
        return report(
            self.hour,
            (self.since, self.until),
            customer_id=CUSTOMER,
            instance_id=self.instance,
            state_id=self.state,
            revision=self.revision,
            final=final,
            counters={"http_requests": self.requests, "mqtt_bytes_sent": self.sent},
            gauges={"active_devices": gauge(self.devices, self.devices + 1, self.devices * covered, covered)},
            sources={"mqtt": source(covered_seconds=covered)},
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A report on its way, and the agent it is from."""

    report: Report
    lineage: int


@dataclass(frozen=True, slots=True)
class History:
    """All deliveries in their order, split over the ingests, and in which order everyone moves."""

    deliveries: tuple[Delivery, ...]
    built: dict[int, frozenset[str]]
    """What each agent ever built, as digests: by them it knows its own reports again."""
    choices: tuple[Choice, ...] = ()
    recomputed: tuple[tuple[datetime, ...], ...] = ()
    """The hours that each aggregate worker is told to recompute, in its order."""


@dataclass
class _Lives:
    """The agents of one instance's hour, and what they have built."""

    journals: list[Journal]
    copy: Journal
    deliveries: list[Delivery] = field(default_factory=list)
    lineages: int = 1

    def lead(self, kind: str, which: int, amount: int, first_lineage: int) -> None:
        index = which % len(self.journals)
        journal = self.journals[index]
        match kind:
            case "lost" | "lost with overlap":
                back = 0 if kind == "lost" else min(120, journal.until)
                self.lineages += 1
                journal = Journal(
                    journal.instance,
                    journal.hour,
                    first_lineage + self.lineages,
                    f"{journal.state}{self.lineages}",
                    since=journal.until - back,
                    until=journal.until - back,
                )
            case "restored":
                self.lineages += 1
                journal = replace(self.copy, lineage=first_lineage + self.lineages)
            case "cloned":
                self.lineages += 1
                self.journals.append(replace(journal, lineage=first_lineage + self.lineages))
            case _:
                self.copy = journal if amount % 3 == 0 else self.copy
        grown = journal.grown(amount)
        self.journals[index] = grown
        self.deliveries.append(Delivery(grown.built(final=kind == "ends"), grown.lineage))


steps = st.tuples(st.sampled_from(LIVES), st.integers(0, 3), st.integers(0, 40))
# One actor often makes several steps in a row: a slow worker must be overtaken by all of another's work.
bursts = st.tuples(
    st.integers(0, 3), st.sampled_from((1, 1, 2, 3, 5, 8, 13)), st.sampled_from((False,) * 9 + (True,))
)


@st.composite
def histories(draw: st.DrawFn, *, killed: bool = True) -> History:
    """Draw a history of one to three instances over one to three hours."""
    deliveries: list[Delivery] = []
    places = draw(
        st.lists(
            st.tuples(st.sampled_from(("one", "two", "six")), st.sampled_from(HOURS[:1] * 4 + HOURS)),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    for number, (instance, hour) in enumerate(places):
        journal = Journal(instance, hour, lineage=number * 100, state="j")
        lives = _Lives([journal], journal)
        for kind, which, amount in draw(st.lists(steps, min_size=1, max_size=4)):
            lives.lead(kind, which, amount, number * 100)
        deliveries += lives.deliveries
    built: dict[int, set[str]] = {}
    for delivery in deliveries:
        built.setdefault(delivery.lineage, set()).add(delivery.report.digest())
    again = draw(st.lists(st.sampled_from(deliveries), max_size=4))
    hours = sorted({hour for _, hour in places})
    told = st.lists(st.sampled_from(hours), min_size=2, max_size=8).map(tuple)
    chosen = [
        Choice(actor, dies and not step)
        for actor, length, dies in draw(st.lists(bursts, min_size=4, max_size=30))
        for step in range(length)
    ]
    return History(
        deliveries=tuple(draw(st.permutations([*deliveries, *again]))),
        built={lineage: frozenset(digests) for lineage, digests in built.items()},
        choices=tuple(chosen if killed else (replace(choice, dies=False) for choice in chosen)),
        recomputed=(draw(told), draw(told)),
    )
