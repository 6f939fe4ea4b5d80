"""A heart with a source, its sender over real HTTP, and the service it talks to; the test moves the time."""

from datetime import timedelta
from pathlib import Path

from agent.delivery.sender import Sender
from agent.delivery.wire import Wire
from agent.engine.hour import Reporter
from agent.journal.rows import Frozen
from agent.settings import load
from tests.agent.service import KEY, Service
from tests.agent.world import NOON, REQUESTS, Counters, Instance, Machine

EVERY = 900


class Rig:
    """An instance with a source, its sender, and the service it talks to; no threads on the agent's side."""

    def __init__(self, path: Path, service: Service, machine: Machine, key: str = KEY) -> None:
        self.machine = machine
        self.service = service
        self.source = Counters(machine, NOON - timedelta(days=1), totals={REQUESTS: 500})
        # Ticks as far apart as hours: an agent that runs all the time, in fewer steps.
        self.instance = Instance(path, machine, longest_tick=3600)
        self.key = key
        settings = load({"CUSTOMER_ID": "cust_1", "BILLING_API_URL": service.url, "INSTANCE_KEY": key})
        self.wire = Wire.to_service(settings)
        self.former: Wire | None = None
        self.sender = self._sender()

    def _sender(self) -> Sender:
        return Sender(
            self.instance.journal, self.wire, self.machine, self.instance.reporter, EVERY, self.former
        )

    def restart(self) -> None:
        """The agent stops without a word and starts again."""
        self.instance.restart()
        self.sender = self._sender()
        self.instance.look()

    def rename(self, reporter: Reporter, key: str, former_key: str = "") -> None:
        """The agent is set up anew for another owner, on the same journal."""
        self.wire.close()
        settings = load(
            {
                "CUSTOMER_ID": reporter.customer_id,
                "INSTANCE_ID": reporter.instance_id,
                "BILLING_API_URL": self.service.url,
                "INSTANCE_KEY": key,
                "FORMER_INSTANCE_KEY": former_key,
            }
        )
        self.wire = Wire.to_service(settings)
        if self.former is not None:
            self.former.close()
        self.former = Wire.to_service(settings, settings.former_instance_key) if former_key else None
        self.instance.reporter = reporter
        self.restart()

    def count(self, amount: int, seconds: int = 15) -> None:
        self.source.grow(amount)
        self.machine.wait(seconds)
        self.instance.look(self.source.observe())

    def talk(self) -> None:
        """Everything that is due now."""
        while self.sender.step():
            pass

    def settle(self, seconds: int = 600) -> None:
        """Live for a while, with the sender trying whenever it may."""
        for _ in range(seconds // 15):
            self.talk()
            self.machine.wait(15)
            self.instance.look()
        self.talk()

    def run_on(self, hours: int = 1) -> None:
        """Live for so long in steps of a quarter of an hour, with the sender trying at each."""
        for _ in range(4 * hours):
            self.machine.wait(EVERY)
            self.instance.look()
            self.talk()

    def close(self) -> None:
        self.wire.close()
        if self.former is not None:
            self.former.close()
        self.instance.journal.close()

    def waiting(self) -> Frozen | None:
        self.machine.wait(4000)
        return self.instance.frozen()
