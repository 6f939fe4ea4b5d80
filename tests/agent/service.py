"""The service's side of the contract on a real port: stores reports as ingest does, answers as it does.

The report is the real model, the roll-up that tells what would be billed is the service's own.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from pydantic import ValidationError

from metering.core.contract import LATEST_WINDOW, OLDEST_WINDOW, Report, field_errors
from metering.core.instants import format_instant
from metering.core.rollup import rollup

KEY = "key-1"
type Canned = tuple[int, dict[str, str], bytes]


class Service:
    """A billing service for one instance; ``now`` tells its time.

    ``canned`` are answers given to the next reports instead of the real ones, ``canned_whoami`` the one to
    every whoami; ``others`` are further keys with their customer and instance. ``requests`` are the bodies as
    they came, ``stored`` the reports by hour and journal.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.customer_id, self.instance_id = "cust_1", "default"
        self.others: dict[str, tuple[str, str]] = {}
        self.report_every_seconds: int | None = None
        self.canned: list[Canned] = []
        self.canned_whoami: Canned | None = None
        self.refuse_hours: set[datetime] = set()
        self.misunderstood: set[datetime] = set()
        self.requests: list[bytes] = []
        self.whoamis = 0
        self.paths: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.deliveries: Counter[str] = Counter()
        self.stored: dict[tuple[datetime, str], Report] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The base address, under a path prefix as the local stack has one."""
        return f"http://127.0.0.1:{self._server.server_port}/prefix"

    def billed(self, metric: str = "http_requests") -> int:
        """What all hours come to, by the service's own roll-up."""
        with self._lock:
            reports = list(self.stored.values())
        hours = {report.window_start for report in reports}
        return sum(
            rollup(hour, [r for r in reports if r.window_start == hour]).counters.get(metric, 0)
            for hour in hours
        )

    def hours(self, *, final: bool = True) -> list[datetime]:
        """The hours of which a (final) report is stored, in order."""
        with self._lock:
            return sorted({r.window_start for r in self.stored.values() if r.final or not final})

    def answer(self, status: int, said: dict[str, Any]) -> Canned:
        """An answer of the service's own."""
        body = {"server_time": format_instant(self.now().replace(microsecond=0)), **said}
        return status, {}, json.dumps(body).encode()

    def error(self, status: int, code: str, **more: Any) -> Canned:
        """An error body of the service's own."""
        detail = {"code": code, "message": code, "details": more.pop("details", []), "request_id": "r"}
        return self.answer(status, {"error": detail, **more})

    def _whoami(self, key: str) -> Canned:
        self.whoamis += 1
        if self.canned_whoami is not None:
            return self.canned_whoami
        customer_id, instance_id = self._owner(key)
        said: dict[str, Any] = {"customer_id": customer_id, "instance_id": instance_id}
        if self.report_every_seconds is not None:
            said["report_every_seconds"] = self.report_every_seconds
        return self.answer(200, said)

    def _owner(self, key: str) -> tuple[str, str]:
        return self.others.get(key, (self.customer_id, self.instance_id))

    def _report(self, body: bytes, key: str) -> Canned:
        with self._lock:
            self.requests.append(body)
            if self.canned:
                return self.canned.pop(0)
            try:
                report = Report.model_validate_json(body)
            except ValidationError as error:
                details = [row.model_dump() for row in field_errors(error)]
                return self.error(422, "invalid_report", details=details)
            refusal = self._refusal(report, key)
            return self._store(report) if refusal is None else self.error(*refusal)

    def _refusal(self, report: Report, key: str) -> tuple[int, str] | None:
        if self.others and (report.customer_id, report.instance_id) != self._owner(key):
            return 403, "forbidden"
        if report.window_start in self.refuse_hours:
            return 500, "internal"
        if report.window_start in self.misunderstood:
            return 422, "invalid_report"
        if report.window_start > self.now() + LATEST_WINDOW:
            return 422, "window_in_future"
        if report.window_start <= self.now() - OLDEST_WINDOW:
            return 422, "window_too_old"
        return None

    def _store(self, report: Report) -> Canned:
        key = (report.window_start, report.state_id)
        held = self.stored.get(key)
        if held is None or held.revision < report.revision:
            self.stored[key] = report
            return self._understood(202, "accepted", report)
        if held.revision > report.revision:
            return self._understood(200, "superseded", held)
        if held.digest() != report.digest():
            return self.error(409, "conflict", revision=held.revision, digest=held.digest())
        return self._understood(200, "duplicate", held)

    def _understood(self, status: int, word: str, held: Report) -> Canned:
        self.deliveries[word] += 1
        said = {"status": word, "revision": held.revision, "digest": held.digest()}
        if self.report_every_seconds is not None:
            said["report_every_seconds"] = self.report_every_seconds
        return self.answer(status, said)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(b"")

            def do_POST(self) -> None:
                self._answer(self.rfile.read(int(self.headers["Content-Length"])))

            def _answer(self, body: bytes) -> None:
                service.in_flight += 1
                service.most_in_flight = max(service.most_in_flight, service.in_flight)
                service.paths.append(f"{self.command} {self.path}")
                answer: Canned
                key = self.headers["Authorization"].removeprefix("Bearer ")
                if key not in {KEY, *service.others}:
                    answer = 403, {}, b'{"message": "Forbidden"}'
                elif self.path == "/prefix/api/usage/whoami":
                    answer = service._whoami(key)
                elif self.path == "/prefix/api/usage/report":
                    answer = service._report(body, key)
                else:
                    answer = 404, {}, b'{"message": "Not Found"}'
                status, headers, said = answer
                service.in_flight -= 1
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                """The tests read what is stored."""

        return Handler
