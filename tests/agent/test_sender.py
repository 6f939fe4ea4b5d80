"""What the agent does with each answer of the contract's table, over real HTTP."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from agent.console import requeue
from agent.delivery.answers import Disposition, back_off, read_answer, refusal_pause
from agent.settings import load
from metering.core.contract import Report
from testing.waiting import wait_for
from tests.agent.rig import EVERY, Rig
from tests.agent.service import Service
from tests.agent.world import NOON, REPORTER, Machine

HOUR = timedelta(hours=1)


@pytest.fixture
def machine() -> Machine:
    return Machine(NOON + timedelta(minutes=10))


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    with Service(lambda: machine.true) as running:
        yield running


@pytest.fixture
def rig(tmp_path: Path, service: Service, machine: Machine) -> Iterator[Rig]:
    made = Rig(tmp_path / "journal", service, machine)
    made.instance.look(made.source.observe())
    made.count(7)
    yield made
    made.close()


def test_the_first_call_is_whoami_and_tells_the_time(rig: Rig, service: Service) -> None:
    """The first call is whoami, after whose answer the time is known; the report follows."""
    rig.talk()
    assert ["GET /prefix/api/usage/whoami", "POST /prefix/api/usage/report"] == service.paths
    assert not rig.instance.journal.provisional


def test_a_time_far_from_ours_is_asked_for_a_second_time_before_anything_is_sent(
    rig: Rig, service: Service
) -> None:
    """The first server is six hours wrong, the next is right: no hour moves, nothing waits."""
    service.canned_whoami = service.answer(200, whoami(server_time="2026-11-22T18:10:15Z"))
    rig.sender.step()
    assert (False, []) == (rig.sender.sending.introduced, service.requests)
    service.canned_whoami = None
    rig.talk()
    assert (2, 7, "") == (service.whoamis, service.billed(), rig.sender.sending.trouble)
    assert [NOON] == service.hours(final=False)


def test_servers_that_never_agree_about_the_time_are_not_hammered(rig: Rig, service: Service) -> None:
    """Each wrong answer after the first waits its turn, and the page says why."""
    for hours in (18, 17, 16):
        service.canned_whoami = service.answer(200, whoami(server_time=f"2026-11-22T{hours}:00:00Z"))
        rig.sender.step()
    assert 2 == service.whoamis
    assert "its answers disagree" in rig.sender.sending.trouble


def test_an_answer_to_a_report_that_is_six_hours_wrong_is_checked_by_another(
    rig: Rig, service: Service
) -> None:
    """The report is delivered, the time stays, and the next call asks for it again."""
    rig.talk()
    before = rig.instance.journal.now_ms(rig.machine.moment())
    rig.count(3, EVERY)
    said = {"status": "accepted", "revision": 2, "digest": "d", "server_time": "2026-11-22T18:30:00Z"}
    service.canned = [service.answer(202, said)]
    rig.talk()
    assert before + EVERY * 1000 == rig.instance.journal.now_ms(rig.machine.moment())
    assert (2, None) == (service.whoamis, rig.instance.frozen())


def whoami(**more: str) -> dict[str, object]:
    """What the service says of our key."""
    return {"customer_id": "cust_1", "instance_id": "default", **more}


def test_202_delivers_the_revision(rig: Rig, service: Service) -> None:
    """A 202 delivers its revision: 7 are billed, and nothing waits."""
    rig.talk()
    assert (7, {"accepted": 1}) == (service.billed(), dict(service.deliveries))
    assert rig.waiting() is None


def test_the_same_bytes_again_are_a_duplicate_and_delivered(rig: Rig, service: Service) -> None:
    """A report whose answer was lost goes again byte for byte, and as a duplicate it is delivered."""
    rig.talk()
    rig.count(3)
    service.canned = [(504, {}, b"")]
    rig.machine.wait(EVERY)
    rig.talk()
    service.stored[NOON, rig.instance.journal.state_id] = Report.model_validate_json(service.requests[-1])
    rig.settle(30)
    assert service.requests[1] == service.requests[2]
    assert (10, 1) == (service.billed(), service.deliveries["duplicate"])
    assert rig.sender.sending.trouble == ""


def test_superseded_by_a_revision_of_ours_is_delivered(rig: Rig, service: Service) -> None:
    """`superseded` with a revision and digest that this journal built delivers, and is no fork."""
    rig.talk()
    before = rig.instance.journal.state_id
    held = next(iter(service.stored.values()))
    said = {"status": "superseded", "revision": 1, "digest": held.digest()}
    rig.machine.wait(EVERY)
    service.canned = [service.answer(200, said)]
    rig.talk()
    assert before == rig.instance.journal.state_id
    assert rig.instance.frozen() is None


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "superseded", "revision": 9, "digest": "x"},
        {"status": "superseded", "revision": 1, "digest": "another content"},
    ],
)
def test_superseded_by_a_revision_that_was_never_built_is_a_fork(
    rig: Rig, service: Service, answer: dict[str, object]
) -> None:
    """`superseded` with a revision or digest that was never built is a fork: a new state id, an alarm."""
    before = rig.instance.journal.state_id
    service.canned = [service.answer(200, answer)]
    rig.talk()
    assert before != rig.instance.journal.state_id
    assert "journal_forked" in rig.instance.journal.snapshot()[3]


def test_a_conflict_is_a_fork(rig: Rig, service: Service) -> None:
    """A 409 conflict is a fork: the journal takes a new state id."""
    before = rig.instance.journal.state_id
    service.canned = [service.error(409, "conflict", revision=1, digest="x")]
    rig.talk()
    assert before != rig.instance.journal.state_id


def test_an_hour_in_the_future_is_kept_until_its_time_has_come(rig: Rig, service: Service) -> None:
    """A report that is window_in_future is kept, not sent again at once, and delivered within 2 minutes."""
    service.canned = [service.error(422, "window_in_future")]
    rig.talk()
    assert rig.instance.frozen() is None
    assert 1 == len(service.requests)
    rig.settle(120)
    assert 7 == service.billed()


@pytest.mark.parametrize(
    ("status", "code"), [(413, "too_large"), (422, "window_too_old"), (422, "invalid_report")]
)
def test_a_report_refused_for_good_is_quarantined_and_shown(
    rig: Rig, service: Service, status: int, code: str
) -> None:
    """413, window_too_old and invalid_report put a report aside, and show its code and bad field."""
    details = [{"field": "gauges.x.max", "message": "too great"}]
    service.canned = [service.error(status, code, details=details)]
    rig.talk()
    waiting = rig.instance.journal.snapshot()[2]
    assert (0, 1) == (waiting.reports, waiting.quarantined)
    assert code in waiting.problems[0][1]
    assert "gauges.x.max" in waiting.problems[0][1]


def test_a_quarantined_revision_does_not_keep_the_next_one_from_delivery(rig: Rig, service: Service) -> None:
    """After a quarantined revision the next one of the same hour is delivered with all 9."""
    service.canned = [service.error(422, "invalid_report")]
    rig.talk()
    rig.count(2, EVERY)
    rig.talk()
    assert 9 == service.billed()


FOREIGN: list[tuple[int, dict[str, str], bytes]] = [
    (413, {}, b"<html>Request Entity Too Large</html>"),
    (413, {}, b'{"message": "Request Too Long"}'),
    (422, {}, b'{"detail": [{"loc": ["body"], "msg": "no"}]}'),
    (422, {}, b'{"error": {"code": "invalid_report", "message": "no"}}'),
    (422, {}, b'{"error": "blocked by policy", "server_time": "2026-11-22T12:10:00Z"}'),
    (409, {}, b'{"error": {"code": "conflict", "message": "no"}, "revision": 9, "digest": "x"}'),
    (202, {}, b'{"status": "accepted"}'),
]


@pytest.mark.parametrize("answer", FOREIGN, ids=str)
def test_only_an_answer_of_our_own_decides(
    rig: Rig, service: Service, answer: tuple[int, dict[str, str], bytes]
) -> None:
    """A proxy's 413 or 422 puts nothing aside, its 409 forks nothing, its 202 delivers nothing."""
    before = rig.instance.journal.state_id
    service.canned = [answer]
    rig.talk()
    waiting = rig.instance.journal.snapshot()[2]
    assert (1, 0) == (waiting.reports, waiting.quarantined)
    rig.settle(60)
    assert (before, 7) == (rig.instance.journal.state_id, service.billed())


def revisions_of(service: Service, hour: datetime) -> list[int]:
    """Return the revisions of an hour that the service was given, in the order in which they came."""
    given = (Report.model_validate_json(body) for body in service.requests)
    return [report.revision for report in given if report.window_start == hour]


def refused_for_a_while(rig: Rig, service: Service) -> None:
    """A bad deploy: every report of noon's hour, the final one too, gets a 422 of our own."""
    service.misunderstood = {NOON}
    rig.talk()
    rig.run_on()
    service.misunderstood.clear()
    assert 1 == rig.instance.journal.snapshot()[2].quarantined
    assert NOON not in service.hours(final=False)


def test_a_quarantined_hour_is_tried_again_daily_as_the_next_revision(rig: Rig, service: Service) -> None:
    """One bad deploy's 422 puts a report aside for a day, not for ever."""
    refused_for_a_while(rig, service)
    refused = revisions_of(service, NOON)
    rig.run_on(hours=22)
    assert NOON not in service.hours()
    rig.run_on(hours=3)
    report = service.stored[NOON, rig.instance.journal.state_id]
    assert (list(range(1, len(refused) + 1)), True) == (refused, report.final)
    assert [*refused, report.revision] == revisions_of(service, NOON)
    assert (7, 0) == (service.billed(), rig.instance.journal.snapshot()[2].quarantined)


def test_an_upgraded_agent_tries_quarantined_hours_again(rig: Rig, service: Service) -> None:
    """What the service did not understand of an older version it may of a newer one."""
    refused_for_a_while(rig, service)
    rig.restart()
    rig.settle(EVERY)
    assert NOON not in service.hours()
    rig.instance.reporter = replace(REPORTER, agent_version="1.0.1")
    rig.restart()
    rig.settle(EVERY)
    report = service.stored[NOON, rig.instance.journal.state_id]
    assert (revisions_of(service, NOON)[-1], "1.0.1", 7) == (
        report.revision,
        report.agent_version,
        service.billed(),
    )


def test_requeue_sends_quarantined_hours_again_beside_a_running_agent(rig: Rig, service: Service) -> None:
    """The command changes the journal that the agent has open; the next build takes the hour up."""
    refused_for_a_while(rig, service)
    lines, well = requeue(load({"CUSTOMER_ID": "cust_1", "JOURNAL_PATH": str(rig.instance.path)}))
    assert (["1 quarantined hours will be reported again, each as its next revision"], True) == (lines, well)
    rig.settle(EVERY)
    assert 7 == service.billed()
    assert revisions_of(service, NOON)[-1] == service.stored[NOON, rig.instance.journal.state_id].revision


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_keeps_everything_and_is_tried_again_slowly(
    rig: Rig, service: Service, status: int
) -> None:
    """On 401 and 403 nothing is sent for 14 s and nothing is lost: all 9 are billed once the key is good."""
    rig.talk()
    rig.count(2, EVERY)
    service.canned = [(status, {}, b'{"message": "Forbidden"}')] * 3
    rig.talk()
    assert "the key is refused" in rig.sender.sending.trouble
    sent = len(service.requests)
    rig.machine.wait(14)
    rig.talk()
    assert sent == len(service.requests)
    rig.settle(300)
    assert (9, "") == (service.billed(), rig.sender.sending.trouble)


def test_a_refused_report_blocks_no_other(rig: Rig, service: Service) -> None:
    """The key is good, says whoami; the hour that is refused waits alone, and is tried again slowly."""
    rig.talk()
    for _ in range(3):
        rig.count(10, 3600)
    service.canned = [service.error(403, "forbidden")]
    before = service.whoamis
    rig.talk()
    assert ([NOON + HOUR, NOON + 2 * HOUR], before + 1) == (service.hours(), service.whoamis)
    rig.settle(60)
    assert (37, "") == (service.billed(), rig.sender.sending.trouble)


def test_many_refused_reports_are_a_second_apart(rig: Rig, service: Service) -> None:
    """A service that takes the key and refuses every report is not hammered."""
    rig.talk()
    for _ in range(20):
        rig.count(1, 3600)
    service.canned = [service.error(403, "forbidden")] * 1000
    before = len(service.requests)
    rig.talk()
    assert before + 2 == len(service.requests)
    assert "the key is refused" in rig.sender.sending.trouble


def test_a_wrong_key_is_said_before_anything_is_sent(
    tmp_path: Path, service: Service, machine: Machine
) -> None:
    """When whoami refuses the key no report is sent, and the trouble says that the key is refused."""
    rig = Rig(tmp_path / "other", service, machine, key="wrong")
    rig.instance.look()
    rig.talk()
    assert "the key is refused" in rig.sender.sending.trouble
    assert [] == service.requests
    rig.close()


def test_a_key_of_another_instance_is_said_before_anything_is_sent(rig: Rig, service: Service) -> None:
    """When whoami names another instance no report is sent, and the trouble names that instance."""
    service.instance_id = "other"
    rig.talk()
    assert "cust_1/other" in rig.sender.sending.trouble
    assert [] == service.requests


@pytest.mark.parametrize(
    "answer",
    [
        (429, {}, b"{}"),
        (500, {}, b""),
        (503, {}, b"<html>"),
        (404, {}, b'{"message": "Not Found"}'),
        (301, {"Location": "/elsewhere"}, b""),
        (200, {}, b"<html>Welcome to the hotel</html>"),
        (200, {}, b'{"status": "accepted"}'),
        (202, {}, b"[]"),
        (422, {}, b"not ours"),
        (409, {}, b"not ours"),
    ],
    ids=str,
)
def test_anything_else_is_tried_again_for_ever_with_the_same_bytes(
    rig: Rig, service: Service, answer: tuple[int, dict[str, str], bytes]
) -> None:
    """Every other answer (429, 404, 3xx, 5xx, not ours) keeps a report's bytes and tries them again."""
    service.canned = [answer] * 4
    rig.settle(1800)
    assert {service.requests[0]} == set(service.requests[:5])
    assert 7 == service.billed()


def test_no_answer_at_all_is_tried_again(rig: Rig, service: Service) -> None:
    """Where nothing answers the trouble says so, and all 12 are billed once somebody does."""
    rig.talk()
    rig.count(5, EVERY)
    url = rig.wire._base_url
    rig.wire._base_url = "http://127.0.0.1:9/prefix"
    rig.talk()
    assert "no answer" in rig.sender.sending.trouble
    rig.wire._base_url = url
    rig.settle(300)
    assert 12 == service.billed()


def test_retry_after_is_honoured(rig: Rig, service: Service) -> None:
    """After `Retry-After: 120` nothing is sent for 105 s, and the report by 135 s."""
    service.canned = [(503, {"Retry-After": "120"}, b"")]
    rig.talk()
    rig.settle(105)
    assert 1 == len(service.requests)
    rig.settle(30)
    assert 7 == service.billed()


def test_a_failing_report_never_blocks_the_others(rig: Rig, service: Service) -> None:
    """An hour that is answered 500 holds back none of the four after it, and goes when it may."""
    service.refuse_hours = {NOON}
    for _ in range(5):
        rig.count(10, 3600)
        rig.settle()
    rig.settle(EVERY)
    assert [NOON + hour * HOUR for hour in range(1, 5)] == service.hours()[:4]
    service.refuse_hours = set()
    rig.settle()
    assert NOON == service.hours()[0]


def test_with_the_service_away_the_number_of_attempts_does_not_grow_with_what_waits(
    rig: Rig, service: Service
) -> None:
    """48 reports that wait for a service that is away cost fewer than 48 attempts in half an hour."""
    rig.talk()
    for _ in range(48):
        rig.count(1, 3600)
    service.canned = [(503, {}, b"")] * 10_000
    before = len(service.requests)
    rig.settle(1800)
    # 48 reports, half an hour: pauses grow to 150 s in the mean, whatever waits.
    assert len(service.requests) - before < 48


def test_the_service_changes_the_distance_of_reports(rig: Rig, service: Service) -> None:
    """A distance of 300 s that the service tells is adopted: two reports in ten minutes."""
    service.report_every_seconds = 300
    rig.talk()
    assert 300 == rig.sender.report_every_seconds
    before = len(service.requests)
    for _ in range(40):
        rig.count(1)
        rig.talk()
    assert before + 2 == len(service.requests)


def test_a_service_that_tells_no_distance_leaves_the_agents_own(rig: Rig, service: Service) -> None:
    """An answer may carry `report_every_seconds`, null or absent; neither keeps a report from delivery."""
    said = {"customer_id": "cust_1", "instance_id": "default", "report_every_seconds": None}
    service.canned_whoami = service.answer(200, said)
    service.report_every_seconds = None
    rig.talk()
    assert (EVERY, 7) == (rig.sender.report_every_seconds, service.billed())


@pytest.mark.parametrize("seconds", [0, 59, 3601, -5])
def test_a_distance_outside_the_contract_is_not_adopted(rig: Rig, service: Service, seconds: int) -> None:
    """A distance outside 60 to 3600 s is not adopted: the agent keeps its own 900."""
    service.report_every_seconds = seconds
    rig.talk()
    assert EVERY == rig.sender.report_every_seconds


def test_instances_send_at_different_seconds(tmp_path: Path, service: Service, machine: Machine) -> None:
    """Four instances send at four different places within the interval of 900 s."""
    offsets = set()
    for name in ("a", "b", "c", "d"):
        rig = Rig(tmp_path / name, service, machine)
        rig.sender._reporter = type(REPORTER)("cust_1", name, "1.0.0")
        offsets.add(rig.sender._offset_ms(EVERY * 1000))
        rig.close()
    assert 4 == len(offsets)
    assert all(0 <= offset < EVERY * 1000 for offset in offsets)


@pytest.mark.parametrize("every", [60, 900, 3600])
@pytest.mark.parametrize("name", ["default", "b", "c"])
def test_an_hours_final_report_comes_within_ten_minutes_at_the_instances_own_second(
    rig: Rig, service: Service, every: int, name: str
) -> None:
    """The final report comes at the instance's own second of the ten minutes after the hour, 30 s at most."""
    rig.sender._reporter = type(REPORTER)("cust_1", name, "1.0.0")
    rig.sender.report_every_seconds = every
    service.instance_id = name
    rig.talk()
    rig.machine.wait((NOON + HOUR - rig.machine.true).total_seconds() - 5)
    for _ in range(0, 600, 10):
        rig.instance.look()
        rig.talk()
        rig.machine.wait(10)
        if NOON in service.hours():
            break
    after = (service.now() - NOON - HOUR).total_seconds()
    offset = rig.sender._offset_ms(every * 1000) // 1000 % 600
    assert min(offset, every) <= after <= offset + 30


def test_a_tick_that_ends_the_hour_late_delays_its_final_report_and_no_more(
    rig: Rig, service: Service
) -> None:
    """An hour that a tick 610 s late has sealed is reported as final right after that tick."""
    rig.sender.report_every_seconds = 3600
    rig.talk()
    rig.machine.wait((NOON + HOUR - rig.machine.true).total_seconds() + 610)
    rig.talk()
    assert [] == service.hours()
    rig.instance.look()
    rig.talk()
    assert [NOON] == service.hours()


def test_one_request_is_in_flight(rig: Rig, service: Service) -> None:
    """However many reports wait, one request is in flight at a time."""
    for _ in range(3):
        rig.count(1, 3600)
    rig.talk()
    assert 1 == service.most_in_flight


def test_the_last_revision_is_built_and_sent_on_stopping(rig: Rig, service: Service) -> None:
    """On stopping the open hour's last revision is built and sent, with all 37, not final."""
    rig.talk()
    rig.count(30)
    rig.sender.start()
    rig.sender.finish()
    (report,) = service.stored.values()
    assert (37, False) == (report.counters["http_requests"], report.final)


def test_an_unforeseen_error_is_said_and_does_not_end_delivery(rig: Rig, service: Service) -> None:
    """An unforeseen error is shown as trouble by its name, and later reports are delivered all the same."""
    rig.talk()
    rig.sender._reporter = cast("Any", None)
    rig.sender.start()
    rig.machine.wait(EVERY)
    wait_for(lambda: "AttributeError" in rig.sender.sending.trouble, "the error on the page")
    rig.sender._reporter = REPORTER
    rig.count(5, EVERY)
    wait_for(lambda: service.billed() == 12, "delivery")
    rig.sender.finish()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("99999999", 3600),
        ("Sun, 22 Nov 2026 12:02:00 GMT", 120),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 22 Nov 2029 11:00:00 GMT", 3600),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour(header: str, seconds: int | None) -> None:
    """Retry-After is seconds or a date, cut to 0 to 3600 s; anything else is taken as not said."""
    answer = read_answer(503, {"retry-after": header}, b"", datetime(2026, 11, 22, 12, tzinfo=UTC))
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert expected == answer.retry_after


def test_an_answer_may_say_more_than_this_agent_knows() -> None:
    """A field that this agent does not know takes nothing from an answer."""
    said = {
        "status": "accepted",
        "revision": 3,
        "digest": "d",
        "server_time": "2026-11-22T12:00:00Z",
        "new": 1,
    }
    answer = read_answer(202, {}, json.dumps(said).encode(), NOON)
    assert (Disposition.DELIVERED, 3, NOON) == (answer.disposition, answer.revision, answer.server_time)


def test_back_off_runs_from_one_second_to_five_minutes() -> None:
    """Back-off runs from 1 s to 5 min at random, the pause after a refused key from 15 s to 5 min."""
    assert timedelta(seconds=1) == back_off(1, 0)
    assert timedelta(seconds=2) >= back_off(1, 999)
    assert timedelta(seconds=1) == back_off(50, 0)
    assert timedelta(minutes=4, seconds=59) <= back_off(50, 999) <= timedelta(minutes=5)
    spans: list[Callable[[], timedelta]] = [lambda: refusal_pause(1), lambda: refusal_pause(90)]
    assert [timedelta(seconds=15), timedelta(minutes=5)] == [span() for span in spans]
