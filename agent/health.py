"""The health page: ``/healthz`` for people and orchestrators, ``/metrics`` for Prometheus.

``/healthz`` is 200 while the journal takes ticks and 503 when it does not; a source that cannot be read or a
service that does not answer is shown, but restarting the agent would not help it. Source:
docs/agent-design.md#configuration.
"""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from agent.delivery.line import Sending
from agent.engine.clock import from_ms
from agent.engine.hour import AGENT
from agent.journal.journal import Journal
from metering.core.instants import format_instant

_SHORTEST_PATIENCE_SECONDS = 120
_PREFIX = "zemfyre_agent"
FORMER_NAME = "former_name"
"""Hours of a name that the journal no longer bears are waiting for its key."""


class HealthPage:
    """Serves what the journal and the sender show, on a thread of its own.

    Parameters
    ----------
    address
        ``host:port``, or None for no page; port 0 takes a free one.
    journal
        None in unlicensed mode.
    sending
        None where nothing is sent.
    patience_seconds
        How long the journal may go without a tick; at least two minutes.
    """

    def __init__(
        self,
        address: str | None,
        journal: Journal | None,
        sending: Sending | None,
        patience_seconds: int,
    ) -> None:
        self._journal = journal
        self._patience_seconds = max(patience_seconds, _SHORTEST_PATIENCE_SECONDS)
        self._sending = sending
        self._ticked_at = time.monotonic()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._server: ThreadingHTTPServer | None = None
        if address is not None:
            host, _, port = address.rpartition(":")
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), self._handler())
            self._server.daemon_threads = True

    @property
    def port(self) -> int | None:
        """The port that is served, or None for no page."""
        return self._server.server_port if self._server else None

    def start(self) -> None:
        """Begin to answer."""
        if self._server:
            threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        """Stop answering."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def ticked(self) -> None:
        """Note that the journal took a tick."""
        self._ticked_at = time.monotonic()

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status code and body of ``/healthz``."""
        if self._journal is None:
            return 200, {"status": "unlicensed"}
        tally, facts, backlog, alarms = self._journal.snapshot()
        silent = time.monotonic() - self._ticked_at
        counting = not self._journal.full and silent < self._patience_seconds
        remarks = {flag for entry in tally.hour.sources.values() for flag in entry.flags} | alarms
        if backlog.quarantined:
            remarks.add("quarantined")
        if backlog.former:
            remarks.add(FORMER_NAME)
        former = self._sending.former if self._sending else None
        trouble = self._sending.trouble if self._sending else "no BILLING_API_URL: nothing is sent"
        return 200 if counting else 503, {
            "status": "ok" if counting else "not counting",
            "hour": format_instant(from_ms(tally.hour.start_ms)),
            "provisional": self._journal.provisional,
            "state_id": facts.state_id,
            "sources": {
                name: {"status": entry.status, "detail": entry.detail, "flags": sorted(entry.flags)}
                for name, entry in sorted(tally.hour.sources.items())
                if name != AGENT
            },
            "alarms": sorted(remarks),
            "sending": trouble or "ok",
            "former_names": {str(owner): hours for owner, hours in backlog.former},
            "sending_former": "no FORMER_INSTANCE_KEY" if former is None else former.trouble or "ok",
            "reports_waiting": backlog.reports,
            "reports_quarantined": backlog.quarantined,
            "problems": [f"{format_instant(from_ms(at))}: {text}" for at, text in backlog.problems],
        }

    def collect(self) -> Iterator[Metric]:
        """What ``/metrics`` shows, as prometheus_client asks for it."""
        if self._journal is None:
            return
        tally, facts, backlog, alarms = self._journal.snapshot()
        yield _gauge("journal_writable", "1 while the journal takes ticks", int(not self._journal.full))
        yield _gauge("hours_provisional", "1 until the service has told the time", self._journal.provisional)
        yield _gauge("reports_waiting", "frozen reports without an answer", backlog.reports)
        yield _gauge("reports_quarantined", "reports that the service refused for good", backlog.quarantined)
        if facts.delivered_ms is not None:
            yield _gauge("last_delivery_timestamp_seconds", "service time", facts.delivered_ms // 1000)
        up = GaugeMetricFamily(f"{_PREFIX}_source_ok", "1 when the last look succeeded", labels=["source"])
        covered = GaugeMetricFamily(
            f"{_PREFIX}_source_covered_seconds", "of the open hour", labels=["source"]
        )
        alarm = GaugeMetricFamily(
            f"{_PREFIX}_alarm", "remarks that want a person", labels=["alarm", "source"]
        )
        for name, entry in sorted(tally.hour.sources.items()):
            up.add_metric([name], int(entry.status == "ok"))
            covered.add_metric([name], entry.covered_ms // 1000)
            for flag in sorted(entry.flags):
                alarm.add_metric([flag, name], 1)
        if backlog.former:
            alarms |= {FORMER_NAME}
        for remark in sorted(alarms - tally.hour.source(AGENT).flags):
            alarm.add_metric([remark, AGENT], 1)
        amounts = GaugeMetricFamily(f"{_PREFIX}_hour_amount", "counted in the open hour", labels=["metric"])
        for metric, amount in sorted(tally.hour.counters.items()):
            amounts.add_metric([metric], amount)
        yield from (up, covered, alarm, amounts)
        if self._sending is not None:
            answers = CounterMetricFamily(f"{_PREFIX}_answers", "answers to reports", labels=["outcome"])
            for disposition, number in sorted(self._sending.answers.items()):
                answers.add_metric([disposition], number)
            yield answers

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/healthz":
                    status, said = page.health()
                    self._answer(status, "application/json", json.dumps(said, indent=1).encode())
                elif self.path == "/metrics":
                    text = generate_latest(page._registry)
                    self._answer(200, "text/plain; version=0.0.4; charset=utf-8", text)
                else:
                    self._answer(404, "text/plain", b"/healthz or /metrics\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing: probes come every few seconds."""

        return Handler


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
