"""The agent's loop: sources in, ticks of the journal, reports out, until a signal says stop.

Source: docs/agent-design.md#the-journal, docs/agent-design.md#sending and
docs/agent-design.md#configuration.
"""

import logging
import signal
import ssl
import threading
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from types import FrameType

from agent.delivery.line import Sending
from agent.delivery.sender import Sender
from agent.engine.clock import Clock
from agent.engine.hour import Reporter
from agent.engine.meter import Continuity
from agent.engine.observation import Collector, Series
from agent.engine.reading import Failure, SourceReading
from agent.health import HealthPage
from agent.journal.file import JournalError, JournalFile, JournalFullError
from agent.journal.journal import Journal
from agent.poller import Poller
from agent.settings import Settings, SettingsError
from agent.sources import enabled_collectors
from agent.version import VERSION

_LOG = logging.getLogger("agent")
_HOUR_SECONDS = 3600
_MISSED_TICKS = 3
_LEAVE_SECONDS = 5


def run(settings: Settings, clock: Clock) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status.

    Raises
    ------
    SettingsError, JournalError
        What keeps the agent from starting.
    """
    mailbox: SimpleQueue[Poller | None] = SimpleQueue()
    stopping = threading.Event()

    def stop(number: int, _frame: FrameType | None) -> None:
        _LOG.info("%s: stopping", signal.Signals(number).name)
        stopping.set()
        mailbox.put(None)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if not settings.licensed:
        return _unlicensed(settings, stopping)
    agent = Agent(settings, clock, enabled_collectors(settings, clock), mailbox)
    agent.start()
    agent.loop(stopping.is_set)
    agent.stop()
    return 0


def _unlicensed(settings: Settings, stopping: threading.Event) -> int:
    page = _page(settings, None, None)
    page.start()
    while not stopping.is_set():
        _LOG.warning("unlicensed: nothing is measured, nothing is sent; set CUSTOMER_ID to change that")
        stopping.wait(_HOUR_SECONDS)
    page.stop()
    return 0


def _reporter(settings: Settings) -> Reporter:
    return Reporter(settings.customer_id, settings.instance_id, VERSION)


def _open_journal(settings: Settings, clock: Clock, enabled: set[str]) -> Journal:
    file = JournalFile(settings.journal_path, settings.journal_max_megabytes * 1024 * 1024)
    try:
        return Journal(
            file,
            clock.moment(),
            clock.wall(),
            _reporter(settings),
            longest_tick_seconds=_MISSED_TICKS * settings.poll_seconds + 10,
            enabled=enabled,
            wall_is_truth=settings.billing_api_url is None,
        )
    except JournalFullError as error:
        file.close()
        raise JournalError(f"JOURNAL_PATH: no room to write {settings.journal_path}: {error}") from error


def _page(settings: Settings, journal: Journal | None, sending: Sending | None) -> HealthPage:
    try:
        return HealthPage(settings.health_address, journal, sending, _MISSED_TICKS * settings.poll_seconds)
    except OSError as error:
        problem = f"HEALTH_ADDRESS: {settings.health_address} cannot be listened on: {error}; name another"
        raise SettingsError([problem]) from error


class Agent:
    """Everything that runs: journal, pollers, sender, health page."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        sources: list[Collector],
        mailbox: "SimpleQueue[Poller | None]",
    ) -> None:
        self._clock = clock
        self._poll_seconds = settings.poll_seconds
        self._mailbox = mailbox
        self._kept: list[Poller] = []
        if not sources:
            _LOG.warning("no source is enabled; set MQTT_HOST, POSTGRES_DSN or another")
        self.journal = _open_journal(settings, clock, {source.name for source in sources})
        for owner, hours in self.journal.snapshot()[2].former:
            _LOG.error("former_name: %d hours of %s wait for FORMER_INSTANCE_KEY", hours, owner)
        self._pollers = [Poller(source, clock, settings.poll_seconds, mailbox) for source in sources]
        self._sender = self._make_sender(settings)
        self._page = _page(settings, self.journal, self._sender.sending if self._sender else None)

    def _make_sender(self, settings: Settings) -> Sender | None:
        if settings.billing_api_url is None:
            _LOG.warning("BILLING_API_URL is not set: the agent measures and keeps, and sends nothing")
            return None
        # Imported only where there is somebody to talk to: httpx costs 15 MB.
        from agent.delivery.wire import Wire  # noqa: PLC0415  see above

        try:
            wire, key = Wire.to_service(settings), settings.former_instance_key
            former = None if key is None else Wire.to_service(settings, key)
        except (ssl.SSLError, OSError) as error:
            raise SettingsError([f"BILLING_CA_FILE: {settings.billing_ca_file}: {error}"]) from error
        every = settings.report_every_seconds
        return Sender(self.journal, wire, self._clock, _reporter(settings), every, former)

    def start(self) -> None:
        """Start every thread; the first tick is the loop's."""
        self._page.start()
        self._tick([])
        for poller in self._pollers:
            poller.start()
        if self._sender:
            self._sender.start()

    def loop(self, stopped: Callable[[], bool]) -> None:
        """Tick whenever a source has something, at least once an interval."""
        while not stopped():
            self._tick(self._arrivals())

    def _arrivals(self) -> list[Poller]:
        """Pollers with a result; none when an interval passed without one."""
        try:
            first = self._mailbox.get(timeout=self._poll_seconds)
        except Empty:
            return []
        return ([] if first is None else [first]) + self._arrived()

    def _arrived(self) -> list[Poller]:
        arrived: list[Poller] = []
        while not self._mailbox.empty():
            poller = self._mailbox.get_nowait()
            if poller is not None:
                arrived.append(poller)
        return arrived

    def _tick(self, arrived: list[Poller], left: Mapping[str, Mapping[Series, int]] | None = None) -> None:
        """Hand results to the journal; what it cannot write is kept, and offered again at the next tick."""
        arrived = self._kept + arrived
        results = [poller.result for poller in arrived]
        failures = [result for result in results if isinstance(result, Failure)]
        failures += [hanging for poller in self._pollers if (hanging := poller.hanging()) is not None]
        try:
            continuities = self.journal.tick(
                self._clock.moment(),
                self._clock.wall(),
                [result for result in results if isinstance(result, SourceReading)],
                failures,
                left,
            )
        except JournalFullError as error:
            _LOG.critical("the journal cannot be written, nothing is counted until it can: %s", error)
            self._kept = arrived
            return
        self._kept = []
        self._page.ticked()
        for name, continuity in continuities.items():
            if continuity is Continuity.SOMEONE_ELSE:
                _LOG.error("source_identity: %s is someone else than at the last look; nothing counted", name)
            elif continuity is Continuity.RESTARTED:
                _LOG.info("%s has restarted", name)
        for poller in arrived:
            poller.taken()

    def stop(self) -> None:
        """Sources left, last tick, last revision, at most ten seconds of sending, everything closed.

        A source that hangs is not waited for longer than five seconds in all.
        """
        for poller in self._pollers:
            poller.stop()
        deadline_ns = self._clock.moment().boot_ns + _LEAVE_SECONDS * 1_000_000_000
        for poller in self._pollers:
            poller.join(max(0, deadline_ns - self._clock.moment().boot_ns) / 1_000_000_000)
        left = {poller.name: poller.left for poller in self._pollers if poller.left is not None}
        self._tick(self._arrived(), left)
        if self._sender:
            self._sender.finish()
        self._page.stop()
        self.journal.close()
