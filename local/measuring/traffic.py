"""Known traffic: MQTT messages and devices whose every byte and change is recorded where it is made.

The same seed makes the same messages and the same changes in the same order; only their times differ. What
was made is told by `Traffic.counts` (measured at the clients' sockets) and `Traffic.devices` (a log of the
committed changes); neither asks the broker's counters or the agent.
"""

import random
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

import psycopg

from local.measuring.level_log import LevelLog
from local.measuring.mqtt_wire import Counts, WireClient
from local.measuring.platform_tables import Levels, read_levels

_LARGEST_PAYLOAD = 2000
# How often, out of a hundred steps, the fleet changes.
_CHANGE_PERCENT = 30
_SWITCH_PERCENT = 60


class TrafficFailedError(RuntimeError):
    """The traffic ended by itself; its cause is attached."""


class Traffic:
    """A fleet of devices that publish, an application that subscribes, and the platform's table.

    Parameters
    ----------
    broker_port, username, password:
        the broker; every client uses the same user.
    dsn:
        the platform's database, with `local.measuring.platform_tables.create_tables` done.
    now:
        the wall clock (UTC), for the log of changes.
    seed:
        of all that is random here.
    clients:
        how many devices publish.
    qos:
        from which each message's QoS is drawn. QoS 2 is missed by brokers before 2.0.15 in their count of
        received messages, so it is not among them unless asked for.
    """

    def __init__(
        self,
        broker_port: int,
        username: str,
        password: str,
        dsn: str,
        now: Callable[[], datetime],
        *,
        seed: int,
        clients: int = 3,
        qos: Sequence[int] = (0, 0, 1),
    ) -> None:
        self._broker = broker_port, username, password
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._qos = list(qos)
        self._names = [f"device-{number}" for number in range(clients)]
        self._now = now
        self._database = psycopg.connect(dsn, autocommit=True)
        self._past = Counts()
        self._clients: list[WireClient] = []
        self._step = threading.Lock()
        self._going = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        self.devices = LevelLog()
        self.all_devices = LevelLog()
        self._note(now())
        self.reconnect()

    @property
    def counts(self) -> Counts:
        """What all clients exchanged so far; after `step` or `pause` the broker has counted the same."""
        return sum((client.counts for client in self._clients), self._past)

    @property
    def devices_publishing(self) -> int:
        """How many devices send a message in each step."""
        return len(self._names)

    def levels(self) -> Levels:
        """The devices and the size as the database tells them now."""
        return read_levels(self._database)

    def reconnect(self) -> None:
        """Connect all clients anew, as after a restart of the broker; what they exchanged stays counted."""
        self._past = self.counts
        for client in self._clients:
            client.abandon()
        port, username, password = self._broker
        self._clients = [WireClient(port, name, username, password) for name in ("application", *self._names)]
        self._clients[0].subscribe(["readings/#"], max(self._qos))

    def step(self) -> None:
        """One message of each device, received by the application, and now and then a change of the fleet.

        Ends when the broker has read and written all of it and the database has committed.
        """
        with self._step:
            application, *devices = self._clients
            for name, device in zip(self._names, devices, strict=True):
                payload = self._random.randbytes(self._random.randrange(_LARGEST_PAYLOAD))
                device.publish(f"readings/{name}", payload, self._random.choice(self._qos))
                device.settle()
                if application.receive() is None:
                    raise TrafficFailedError(f"a reading of {name} did not reach the application")
            application.settle()
            if self._random.randrange(100) < _CHANGE_PERCENT:
                self._change_fleet()

    def start(self, every_seconds: float) -> None:
        """Step again and again on a thread of its own, with a pause in between."""
        if self._thread is not None:
            raise RuntimeError("the traffic runs already")
        self._going.set()
        self._thread = threading.Thread(target=self._run, args=(every_seconds,), name="traffic")
        self._thread.start()

    def pause(self) -> None:
        """Stand still: the step under way is finished, and nothing moves until `resume`.

        Raises `TrafficFailedError` when the traffic had ended by itself.
        """
        self._going.clear()
        with self._step:
            self._raise_failure()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._raise_failure()
        self._going.set()

    def close(self) -> None:
        """End the thread and all connections."""
        self._ended.set()
        self._going.set()
        if self._thread is not None:
            self._thread.join()
        for client in self._clients:
            client.abandon()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self._raise_failure()

    def _run(self, every_seconds: float) -> None:
        while not self._ended.is_set():
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - it is raised where the traffic is used
                self._failure = error
                return
            self._ended.wait(every_seconds)
            self._going.wait()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise TrafficFailedError("the traffic ended by itself") from self._failure

    def _change_fleet(self) -> None:
        total = self.all_devices.last
        before = self._now()
        if total == 0 or self._random.randrange(100) >= _SWITCH_PERCENT:
            self._database.execute("INSERT INTO devices (id, is_active) VALUES (%s, true)", [total + 1])
        else:
            switched = self._random.randrange(total) + 1
            self._database.execute("UPDATE devices SET is_active = NOT is_active WHERE id = %s", [switched])
        self._note(before)

    def _note(self, before: datetime) -> None:
        levels = self.levels()
        after = self._now()
        self.devices.note(before, after, levels.active_devices)
        self.all_devices.note(before, after, levels.total_devices)
