"""The agent as people start it: run, check, status, and what it says when it cannot."""

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from testing.waiting import wait_for
from tests.agent.process import ROOT, Agent, Source, health, page
from tests.agent.service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(lambda: datetime.now(UTC)) as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "counter.json")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def requests(service: Service) -> int:
    return sum(report.counters.get("http_requests", 0) for report in service.stored.values())


def observed(service: Service) -> bool:
    return any("http_requests" in report.counters for report in service.stored.values())


def test_on_sigterm_the_last_amounts_are_sent(tmp_path: Path, service: Service, source: Source) -> None:
    """On SIGTERM the 41 that no report had yet go out in one that is not final, and the agent ends with 0."""
    with Agent(tmp_path, service.url, "FileCounter", POLL_SECONDS="1", REPORT_EVERY_SECONDS="1") as agent:
        wait_for(lambda: observed(service), "the first report")
        agent.environment["REPORT_EVERY_SECONDS"] = "3600"
        agent.stop()
        agent.start()
        source.grow(41)
        wait_for(lambda: "  41" in agent.run("status").stdout, "the amount in the journal")
        assert 0 == agent.stop()
    assert 41 == requests(service)
    assert not any(report.final for report in service.stored.values())


def test_sources_that_hang_or_fail_never_delay_another(
    tmp_path: Path, service: Service, source: Source
) -> None:
    """While one source hangs and another raises, a third is reported, and with it what was raised."""
    with Agent(tmp_path, service.url, "Hanging", "Broken", "FileCounter"):
        wait_for(lambda: observed(service), "the baseline")
        source.grow(5)
        wait_for(lambda: requests(service) == 5, "the amount")
        (report,) = service.stored.values()
    assert ("error", "ZeroDivisionError: a bug of the collector") == (
        report.sources["broken"].status,
        report.sources["broken"].detail,
    )
    assert "hanging" not in report.sources


def test_two_sources_for_one_metric_are_an_error_at_the_start(tmp_path: Path, source: Source) -> None:
    """Two sources that fill http_requests end the start with status 2 and the metric's name."""
    ended = Agent(tmp_path, None, "FileCounter", "Rival").run("run")
    assert 2 == ended.returncode
    assert "http_requests" in ended.stderr


def test_faulty_settings_are_all_named_and_the_status_is_2(tmp_path: Path) -> None:
    """Every command ends with 2 on faulty settings and names each of them, without traceback."""
    agent = Agent(tmp_path, None, POLL_SECONDS="0", INSTANCE_ID="a b", MQTT_PORT="x")
    for command in ("run", "check", "status", "requeue"):
        ended = agent.run(command)
        assert 2 == ended.returncode
        for name in ("POLL_SECONDS", "INSTANCE_ID", "MQTT_PORT", "MQTT_HOST"):
            assert name in ended.stderr
        assert "Traceback" not in ended.stderr


def test_a_factory_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """A source whose factory cannot be had ends the start with status 2 and its name, no traceback."""
    ended = Agent(tmp_path, None, "Nowhere").run("run")
    assert 2 == ended.returncode
    assert "Nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_source_with_a_name_that_no_report_can_carry_is_an_error_at_the_start(tmp_path: Path) -> None:
    """A source whose name has blanks, which no report can carry, ends the start with status 2."""
    ended = Agent(tmp_path, None, "Nameless").run("run")
    assert 2 == ended.returncode
    assert "'Has Blanks' is no name for a source" in ended.stderr


def test_with_mqtt_and_another_source_it_stays_within_50_megabytes(
    tmp_path: Path, service: Service, source: Source
) -> None:
    """With MQTT and another source enabled the agent keeps below 50 MB of resident memory."""
    # As in its image: without httpx's own command line, which only development has, and with two arenas.
    image = tmp_path / "image"
    image.mkdir()
    (image / "click.py").write_text("raise ImportError('not in the image')", encoding="ascii")
    with Agent(
        tmp_path,
        service.url,
        "FileCounter",
        MQTT_HOST="127.0.0.1",
        MQTT_PORT="9",
        PYTHONPATH=f"{image}:{ROOT}",
        MALLOC_ARENA_MAX="2",
    ) as agent:
        wait_for(lambda: len(service.requests) > 5, "a few reports")
        status = Path(f"/proc/{agent.pid}/status").read_text(encoding="ascii")
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    assert int(resident[1]) < 50 * 1024


def test_a_second_agent_on_the_same_journal_does_not_start(tmp_path: Path, source: Source) -> None:
    """A second agent on a journal in use ends with status 1 and says that another one uses it."""
    with Agent(tmp_path, None, "FileCounter") as agent:
        wait_for(agent.journal.exists, "the journal")
        wait_for(lambda: "open hour" in agent.run("status").stdout, "the first tick")
        ended = agent.run("run")
    assert 1 == ended.returncode
    assert "another agent is using" in ended.stderr


def test_unlicensed_it_measures_nothing_and_says_so(tmp_path: Path, service: Service, port: int) -> None:
    """Unlicensed the agent sends no request and makes no journal, and its health page says so."""
    address = f"127.0.0.1:{port}"
    with Agent(
        tmp_path, service.url, "FileCounter", CUSTOMER_ID="unlicensed", HEALTH_ADDRESS=address
    ) as agent:
        wait_for(lambda: health(port).get("status") == "unlicensed", "the health page")
        assert 0 == agent.stop()
        assert "nothing is measured" in agent.log()
    assert [] == service.paths
    assert not agent.journal.exists()


def test_without_a_billing_url_it_measures_and_keeps(tmp_path: Path, source: Source, port: int) -> None:
    """Without a billing URL the agent warns and keeps: its 12 are in the journal after a kill."""
    with Agent(tmp_path, None, "FileCounter", HEALTH_ADDRESS=f"127.0.0.1:{port}") as agent:
        wait_for(lambda: "counter" in health(port).get("sources", {}), "the baseline")
        source.grow(12)
        wait_for(lambda: 'metric="http_requests"} 12.0' in page(port, "/metrics")[1], "the amount")
        assert "BILLING_API_URL is not set" in agent.log()
        agent.kill()
        assert "http_requests   12" in agent.run("status").stdout


def test_the_health_page_shows_sources_alarms_and_what_waits(
    tmp_path: Path, service: Service, source: Source, port: int
) -> None:
    """/healthz has each source's status, /metrics the failed source and the deliveries; else 404."""
    address = f"127.0.0.1:{port}"
    with Agent(tmp_path, service.url, "Broken", "FileCounter", HEALTH_ADDRESS=address):
        wait_for(lambda: len(health(port).get("sources", {})) == 2, "both sources")
        said = health(port)
        assert 200 == page(port, "/healthz")[0]
        assert ("ok", "error") == (
            said["sources"]["counter"]["status"],
            said["sources"]["broken"]["status"],
        )
        wait_for(lambda: 'outcome="delivered"' in page(port, "/metrics")[1], "an answer")
        metrics = page(port, "/metrics")[1]
        assert 'zemfyre_agent_source_ok{source="broken"} 0.0' in metrics
        assert "zemfyre_agent_journal_writable 1.0" in metrics
        assert 404 == page(port, "/")[0]


def test_a_health_address_that_is_taken_is_named(tmp_path: Path) -> None:
    """A health address that is taken ends the start with status 2 and the setting's name."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = Agent(tmp_path, None, HEALTH_ADDRESS=address).run("run")
    assert 2 == ended.returncode
    assert "HEALTH_ADDRESS" in ended.stderr


def test_check_tries_everything_once_and_prints_a_table(
    tmp_path: Path, service: Service, source: Source
) -> None:
    """`check` reads every source and asks the service, prints a line of each, and makes no journal."""
    ended = Agent(tmp_path, service.url, "FileCounter").run("check")
    assert 0 == ended.returncode, ended.stderr
    lines = [re.split(r"\s{2,}", line) for line in ended.stdout.splitlines()]
    assert ["counter", "ok", "http_requests = 1000 (total)"] in lines
    assert ["billing", "ok"] in [line[:2] for line in lines]
    assert not (tmp_path / "journal").exists()


def test_check_says_why_something_cannot_be_read(tmp_path: Path, source: Source) -> None:
    """`check` ends with 1 where the service does not answer, and says so."""
    ended = Agent(tmp_path, "http://127.0.0.1:9", "FileCounter").run("check")
    assert 1 == ended.returncode
    assert "no answer" in ended.stdout


@pytest.mark.parametrize("command", ["status", "requeue"])
def test_status_needs_no_running_agent_but_a_journal(tmp_path: Path, command: str) -> None:
    """`status` and `requeue` run without an agent, and end with 1 where there is no journal."""
    ended = Agent(tmp_path, None).run(command)
    assert 1 == ended.returncode
    assert "no journal" in ended.stderr
