"""What happens in the demo, and the sources' own truth of it, read without the agent.

The agent counts through a relay, which measures the agent's own bytes. It is killed (SIGKILL) while messages
flow and started again while they go on. Before the broker's restart the traffic stands still until the agent
has seen it all, since what a crash hides cannot be measured; then the agent ends in order, so that its own
bytes are at rest when the probe reads the broker's totals.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agent.engine.observation import valid_for
from local.demo.processes import AgentProcess
from local.demo.waiting import wait_until
from local.measuring.level_log import Bounds, LevelLog
from local.measuring.mqtt_wire import Counts
from local.measuring.platform_tables import Levels
from local.measuring.relay import Relay
from local.measuring.traffic import Traffic
from local.measuring.truth import BrokerLives, BrokerProbe, as_metrics, minus
from local.services.mosquitto import Mosquitto

POLL_SECONDS = 1
SEEN_AFTER = timedelta(seconds=2 * POLL_SECONDS + 1)
"""A change is seen at the next look: an interval, and the time that looking and starting late take."""
HELD_FOR = timedelta(seconds=valid_for(POLL_SECONDS))
"""How long at most the agent's next run holds a level that the last one had read."""
_MOMENT = timedelta(milliseconds=1)
_STEP_SECONDS = 0.05
# An hour that ends meanwhile goes out with the next report, a minute later.
_COUNT_SECONDS = 120.0

type Say = Callable[[str], None]


@dataclass
class Truth:
    """What the sources themselves show since the agent's baseline; integrals in value x milliseconds.

    ``broker`` is its totals less the probes, ``agent_sent`` and ``agent_received`` the agent's own part in
    them as the relay measured it, ``clients`` what the clients counted at their sockets, and ``before`` what
    they had when the agent took its baseline.
    """

    broker: Counts
    agent_sent: int
    agent_received: int
    clients: Counts
    before: Counts
    levels: Levels
    active_devices: Bounds
    total_devices: Bounds

    def exact(self) -> dict[str, int]:
        """Each counter's truth: network bytes from the broker's totals, the rest at the clients' sockets."""
        network = {
            "mqtt_bytes_sent": self.broker.bytes_received - self.before.bytes_received - self.agent_received,
            "mqtt_bytes_received": self.broker.bytes_sent - self.before.bytes_sent - self.agent_sent,
        }
        return as_metrics(minus(self.clients, self.before)) | network


@dataclass
class _Runs:
    """The spans in which an agent ran, surely and perhaps, and those in which it held the level of a run."""

    log_from: datetime
    sure: list[tuple[datetime, datetime]] = field(default_factory=list)
    possible: list[tuple[datetime, datetime]] = field(default_factory=list)
    held: list[tuple[datetime, datetime]] = field(default_factory=list)

    def begin(self, looked: datetime) -> None:
        """A run that has looked at everything; until then it held what the last one had read."""
        if self.possible:
            ended = self.possible[-1][1]
            self.held.append((ended, min(looked, ended + HELD_FOR)))

    def bounds(self, log: LevelLog) -> Bounds:
        """Bound what the agent can have counted of a level; it ran only after ``log_from``."""
        least = [log.integral(start, end, SEEN_AFTER).least for start, end in self.sure]
        greatest = [log.integral(start, end, SEEN_AFTER).greatest for start, end in self.possible]
        held = [
            log.integral(ended, ended + _MOMENT, SEEN_AFTER).greatest * ((until - ended) // _MOMENT + 1)
            for ended, until in self.held
        ]
        return Bounds(sum(least), sum(greatest) + sum(held))


class Story:
    """The demo's services, traffic and agent, step by step."""

    def __init__(
        self,
        broker: Mosquitto,
        relay: Relay,
        traffic: Traffic,
        agent: AgentProcess,
        counted: Callable[[], int],
    ) -> None:
        """Take what runs; ``counted`` tells the network bytes the agent has counted so far, all hours."""
        self._broker = broker
        self._relay = relay
        self._traffic = traffic
        self._agent = agent
        self._counted = counted
        self._lives = BrokerLives()
        self._before = Counts()
        self._runs = _Runs(datetime.now(UTC) + SEEN_AFTER)
        self._since: tuple[datetime, datetime] | None = None

    def play(self, say: Say, seconds: float) -> Truth:
        """Run the whole story; each of its four stretches of traffic takes ``seconds``."""
        # A broker before 2.0.16 forgets totals that have not changed for a minute, and an agent has to take
        # for its baseline what it sees of them first.
        self._traffic.step()
        self._before = self._traffic.counts
        wait_until(lambda: datetime.now(UTC) > self._runs.log_from, "the log of levels", 30)
        self._start_agent()
        say("the agent has its baselines; devices publish")
        self._traffic.start(_STEP_SECONDS)
        self._let_flow(seconds)
        self._kill_agent()
        say("kill -9 of the agent; messages go on without it")
        self._let_flow(seconds)
        self._start_agent()
        say("the agent is back and catches up")
        self._let_flow(seconds)
        self._rest(say)
        with self._probe() as probe:
            self._lives.end(probe.read())
        self._broker.restart()
        self._traffic.reconnect()
        say("the broker has restarted: its totals begin at 0")
        self._start_agent()
        self._traffic.resume()
        self._let_flow(seconds)
        self._rest(say)
        return self._truth()

    def _start_agent(self) -> None:
        before = datetime.now(UTC)
        self._agent.start()
        self._since = before, datetime.now(UTC)
        self._runs.begin(self._since[1])

    def _kill_agent(self) -> None:
        """Kill the agent while messages flow, as soon as it has committed a round of the broker's totals.

        What its own watching causes between its last commit and its death nobody can know afterwards; two
        seconds lie between two rounds, so that it has caused nothing yet.
        """
        before = self._counted()
        wait_until(lambda: self._counted() != before, "the agent to commit a round", _COUNT_SECONDS)
        self._agent.kill()
        self._note_end(datetime.now(UTC) - SEEN_AFTER)

    def _note_end(self, sure_until: datetime) -> None:
        assert self._since is not None
        started, looked = self._since
        self._runs.sure.append((looked, sure_until))
        self._runs.possible.append((started, datetime.now(UTC)))

    def _let_flow(self, seconds: float) -> None:
        """Wait until the traffic has made the steps of so many seconds, about twenty a second."""
        messages = int(seconds / _STEP_SECONDS) * self._traffic.devices_publishing
        goal = self._traffic.counts.messages_sent + messages
        wait_until(lambda: self._traffic.counts.messages_sent >= goal, "messages to flow", 20 * seconds)

    def _rest(self, say: Say) -> None:
        """Stand still until the agent has counted everything, then end it in order."""
        self._traffic.pause()
        moved = minus(self._traffic.counts, self._before)
        expected = moved.bytes_sent + moved.bytes_received
        say(f"traffic rests at {expected:,} bytes; the agent counts up to them")
        wait_until(
            lambda: self._counted() >= expected, f"the agent to count {expected} bytes", _COUNT_SECONDS
        )
        resting = datetime.now(UTC)
        self._agent.stop()
        self._note_end(resting)

    def _probe(self) -> BrokerProbe:
        return BrokerProbe(self._broker.port, self._broker.username, self._broker.password)

    def _truth(self) -> Truth:
        with self._probe() as probe:
            total = self._lives.total(probe.read())
        agent = self._relay.relayed
        return Truth(
            broker=total,
            agent_sent=agent.to_service,
            agent_received=agent.to_client,
            clients=self._traffic.counts,
            before=self._before,
            levels=self._traffic.levels(),
            active_devices=self._runs.bounds(self._traffic.devices),
            total_devices=self._runs.bounds(self._traffic.all_devices),
        )
