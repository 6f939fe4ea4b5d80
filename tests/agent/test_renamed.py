"""A journal knows whose it is: an agent that bears another name bills nothing under both."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.console import status
from agent.engine.hour import Owner, Reporter
from agent.health import HealthPage
from agent.settings import load
from metering.core.contract import Report
from tests.agent.rig import Rig
from tests.agent.service import KEY, Service
from tests.agent.world import NOON, Instance, Machine

HOUR = timedelta(hours=1)
OLD = Owner("cust_1", "default")
TWO = Reporter("cust_1", "two", "1.0.0")
OTHER_CUSTOMER = Reporter("cust_2", "default", "1.0.0")
KEYS = {"key-2": ("cust_1", "two"), "key-3": ("cust_2", "default")}


@pytest.fixture
def machine() -> Machine:
    return Machine(NOON + timedelta(minutes=10))


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    with Service(lambda: machine.true) as running:
        running.others = KEYS
        yield running


@pytest.fixture
def rig(tmp_path: Path, service: Service, machine: Machine) -> Iterator[Rig]:
    made = Rig(tmp_path / "journal", service, machine)
    made.instance.look(made.source.observe())
    made.count(7)
    yield made
    made.close()


def counted(service: Service, *, final: bool = False) -> dict[Owner, dict[datetime, int]]:
    """The requests that the service holds, by owner and hour."""
    found: dict[Owner, dict[datetime, int]] = {}
    for report in service.stored.values():
        if report.final or not final:
            hours = found.setdefault(Owner(report.customer_id, report.instance_id), {})
            hour = report.window_start
            hours[hour] = hours.get(hour, 0) + report.counters.get("http_requests", 0)
    return found


def test_the_open_hour_of_a_renamed_instance_is_billed_under_one_name(rig: Rig, service: Service) -> None:
    """Seven requests before, five after, one of them while the agent was away: twelve, not nineteen."""
    rig.talk()
    rig.source.grow(1)
    rig.machine.wait(20)
    rig.rename(TWO, "key-2", KEY)
    rig.count(4)
    rig.run_on()

    assert {OLD: {NOON: 7}, TWO.owner: {NOON: 5}} == counted(service, final=True)
    assert 12 == service.billed() == rig.source.truth
    (report,) = (r for r in service.stored.values() if r.instance_id == "two" and r.final)
    assert ("journal_renamed",) == report.sources["agent"].flags


@pytest.mark.parametrize(("key", "billed"), [("key-2", 42), ("key-3", 37)])
def test_sealed_hours_go_out_under_the_old_name_with_the_old_key(
    rig: Rig, service: Service, key: str, billed: int
) -> None:
    """What waited under the former name is delivered as the former one's; another customer has a baseline."""
    rig.talk()
    for _ in range(3):
        rig.count(10, 3600)
    rig.rename(Reporter(*KEYS[key], "1.0.0"), key, KEY)
    rig.count(5)
    rig.run_on()

    assert [7, 10, 10, 10] == list(counted(service, final=True)[OLD].values())
    assert billed == service.billed()
    assert () == rig.instance.journal.snapshot()[2].former
    assert "" == rig.sender.sending.trouble


def test_without_the_old_key_the_new_name_is_delivered_and_the_rest_is_said(
    rig: Rig, service: Service
) -> None:
    """Page and status name whose hours wait for which key; they block no other."""
    rig.talk()
    rig.count(10, 3600)
    rig.rename(TWO, "key-2")
    rig.count(5)
    rig.run_on()

    assert {NOON: 7} == counted(service)[OLD]
    assert 5 == sum(counted(service, final=True)[TWO.owner].values())
    assert ((OLD, 2),) == rig.instance.journal.snapshot()[2].former
    page = HealthPage(None, rig.instance.journal, rig.sender.sending, 60).health()[1]
    assert ({"cust_1/default": 2}, "no FORMER_INSTANCE_KEY") == (page["former_names"], page["sending_former"])
    assert "former_name" in page["alarms"]
    lines, _ = status(load({"CUSTOMER_ID": "cust_1", "JOURNAL_PATH": str(rig.instance.path)}))
    said = "of cust_1/default, its former name: 2 hours; they need FORMER_INSTANCE_KEY, or are lost"
    assert said in lines


def test_an_old_key_that_is_refused_blocks_nothing_of_the_new_name(rig: Rig, service: Service) -> None:
    """The former name's key was revoked: its hours stay, the new name's go out."""
    rig.count(10, 3600)
    rig.rename(TWO, "key-2", "revoked")
    rig.count(5)
    rig.run_on()

    assert (5, "") == (service.billed(), rig.sender.sending.trouble)
    assert rig.sender.sending.former is not None
    assert "the key is refused" in rig.sender.sending.former.trouble
    assert ((OLD, 2),) == rig.instance.journal.snapshot()[2].former


def test_the_present_key_given_as_the_former_one_is_said(rig: Rig) -> None:
    """A key of the present name delivers nothing of the former one's."""
    rig.rename(TWO, "key-2", "key-2")
    rig.talk()

    assert rig.sender.sending.former is not None
    assert "FORMER_INSTANCE_KEY is the key of the present name" in rig.sender.sending.former.trouble


def test_a_former_key_without_a_former_name_is_not_asked_for(rig: Rig, service: Service) -> None:
    """A key that is left in the settings costs no request and no alarm once all is delivered."""
    rig.rename(TWO, "key-2", KEY)
    rig.run_on()
    before = service.whoamis
    rig.rename(TWO, "key-2", "revoked")
    rig.run_on()

    assert rig.sender.sending.former is not None
    assert (before + 1, "") == (service.whoamis, rig.sender.sending.former.trouble)


def test_another_customer_begins_from_baselines(rig: Rig, service: Service) -> None:
    """What the sources counted before the new customer's agent had looked was not the new customer's."""
    rig.source.grow(100)
    rig.machine.wait(20)
    rig.rename(OTHER_CUSTOMER, "key-3", KEY)
    rig.count(6)
    rig.count(4)
    rig.run_on()

    assert {OLD: {NOON: 7}, OTHER_CUSTOMER.owner: {NOON: 4}} == counted(service, final=True)


def test_an_agent_that_gets_its_old_name_back_delivers_what_waited(rig: Rig, service: Service) -> None:
    """A mistaken name, mended: the first hours go out with the first key again."""
    rig.rename(TWO, "key-2")
    rig.count(5)
    rig.rename(Reporter("cust_1", "default", "1.0.0"), KEY, "key-2")
    rig.count(3)
    rig.run_on()

    assert {OLD: {NOON: 10}, TWO.owner: {NOON: 5}} == counted(service, final=True)
    assert () == rig.instance.journal.snapshot()[2].former


def test_a_fork_of_a_former_names_hour_stays_the_former_ones(rig: Rig, service: Service) -> None:
    """The service holds another content of it: it goes out under one more name, of the same owner."""
    rig.rename(TWO, "key-2", KEY)
    service.canned = [service.error(409, "conflict", revision=1, digest="x")] * 2
    rig.run_on()

    assert {OLD: {NOON: 7}} == {
        owner: hours for owner, hours in counted(service).items() if any(hours.values())
    }


def test_hours_by_the_wall_clock_stay_the_former_ones(tmp_path: Path, machine: Machine) -> None:
    """Renamed before the service has told the time of this boot: both names' hours find their places."""
    old, new = Reporter("cust_1", "default", "1"), Reporter("cust_1", "two", "1")
    with Instance(tmp_path / "journal", machine, reporter=old, longest_tick=3600) as instance:
        instance.learn_the_time()
        instance.look()
        machine.reboot(60)
        machine.off = timedelta(hours=5)
        instance.restart()
        instance.live(3 * 3600, step=900)
        instance.reporter = new
        instance.restart()
        instance.live(2 * 3600, step=900)
        instance.learn_the_time()
        instance.live(3600, step=900)
        instance.drain()
        placed = instance.journal.snapshot()[2].former
        assert ((Owner("cust_1", "default"), 4),) == placed
        starts = []
        while (frozen := instance.journal.next_report(machine.moment(), old.owner)) is not None:
            report = Report.model_validate_json(frozen.body)
            starts.append((report.window_start, report.instance_id, report.final))
            instance.journal.delivered(frozen, machine.moment())
    assert [(NOON + number * HOUR, "default", True) for number in range(4)] == starts


def test_a_journal_of_an_older_agent_tells_its_owner_by_its_reports(tmp_path: Path, machine: Machine) -> None:
    """Renamed and upgraded at once: what the older agent froze says whose the journal is."""
    path, recorded = tmp_path / "journal", Path(__file__).with_name("recorded")
    with closing(sqlite3.connect(path)) as db:
        db.executescript((recorded / "schema_1.sql").read_text(encoding="utf-8"))
        db.executescript((recorded / "known.sql").read_text(encoding="utf-8"))
    with Instance(path, machine, reporter=TWO) as instance:
        former = instance.journal.snapshot()[2].former

    assert [OLD] == [owner for owner, _ in former]
