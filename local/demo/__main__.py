"""``python -m local.demo [--once]``: real counters to a Stripe invoice, through a crash and a restart."""

import argparse
import shutil
import signal
import sys
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import httpx
import stripe
from rich.console import Console

from local.demo.customer import CUSTOMER_ID, CommandFailedError, DemoCustomer, make_customer
from local.demo.figures import covered_span, meter_rows, metric_rows
from local.demo.processes import AgentProcess, SimulatorProcess
from local.demo.settle import settle, tables_of
from local.demo.show import show_meters, show_metrics
from local.demo.story import POLL_SECONDS, Story, Truth
from local.demo.waiting import TooLateError
from local.environment import REPOSITORY
from local.measuring.platform_tables import create_tables
from local.measuring.relay import Relay
from local.measuring.traffic import Traffic, TrafficFailedError
from local.services.mosquitto import Mosquitto
from local.services.postgres import PostgreSQL
from local.services.program import ServiceError
from local.stack.access import InvocationFailedError, Stack
from local.stack.ministack import StackError
from local.stack.running import STRIPE_API_KEY, StackSettings, running_stack
from metering.core.instants import parse_instant
from metering.core.rating import BASE_FEE
from metering.tables.tables import Tables

FOLDER = REPOSITORY / ".run" / "demo"
STRETCH_SECONDS = 6.0
REPORT_EVERY_SECONDS = 60
SEED = 20261122
LOG_WIDTH = 140
_FAILURES = (
    StackError,
    ServiceError,
    CommandFailedError,
    TooLateError,
    InvocationFailedError,
    TrafficFailedError,
    httpx.HTTPError,
    stripe.StripeError,
)


def main() -> int:
    """Run the demo; 0 when every figure agrees, 1 when one differs or something could not run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    once = _arguments().once
    # A log keeps whole rows; a terminal has its own width.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
    try:
        return _run(console, once=once)
    except _FAILURES as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; nothing is left running", file=sys.stderr)
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="settle, take everything down, and end")
    return parser.parse_args()


def _run(console: Console, *, once: bool) -> int:
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/]  {text}")

    shutil.rmtree(FOLDER, ignore_errors=True)
    with ExitStack() as running:
        simulator = running.enter_context(SimulatorProcess(FOLDER))
        broker = running.enter_context(Mosquitto(FOLDER))
        database = running.enter_context(PostgreSQL(FOLDER, durable=True))
        create_tables(database.dsn)
        say("mosquitto, PostgreSQL and the Stripe simulator run")
        stack = running.enter_context(
            running_stack(
                FOLDER / "stack",
                StackSettings(
                    stripe_api_base=simulator.url,
                    schedules=not once,
                    report_every_seconds=REPORT_EVERY_SECONDS,
                ),
                say,
            )
        )
        customer = make_customer(stack, simulator.url)
        say(f"customer {CUSTOMER_ID} on starter, with a Stripe subscription and an instance key")
        tables = tables_of(stack)
        relay = running.enter_context(Relay(broker.port))
        traffic = running.enter_context(_traffic(broker, database))
        agent = AgentProcess(
            FOLDER, _settings(stack, customer, broker, relay, database), ("mqtt", "postgres")
        )
        running.callback(agent.stop)
        story = Story(broker, relay, traffic, agent, lambda: _counted(agent, tables))
        truth = story.play(say, STRETCH_SECONDS)
        settle(stack, tables, CUSTOMER_ID)
        say("recomputed, reported to Stripe")
        differences = _compare(console, stack, tables, customer, simulator, truth)
        if not once:
            agent.start()
            traffic.resume()
            _stay(console, stack, customer, simulator)
    return 1 if differences else 0


def _traffic(broker: Mosquitto, database: PostgreSQL) -> Traffic:
    return Traffic(
        broker.port, broker.username, broker.password, database.dsn, lambda: datetime.now(UTC), seed=SEED
    )


def _settings(
    stack: Stack, customer: DemoCustomer, broker: Mosquitto, relay: Relay, database: PostgreSQL
) -> dict[str, str]:
    return {
        "CUSTOMER_ID": CUSTOMER_ID,
        "INSTANCE_KEY": customer.key,
        "BILLING_API_URL": stack.api_url,
        "POLL_SECONDS": str(POLL_SECONDS),
        "REPORT_EVERY_SECONDS": "5",
        "MQTT_HOST": "127.0.0.1",
        "MQTT_PORT": str(relay.port),
        "MQTT_USERNAME": broker.username,
        "MQTT_PASSWORD": broker.password,
        "POSTGRES_DSN": database.dsn,
    }


def _counted(agent: AgentProcess, tables: Tables) -> int:
    """The network bytes the agent has counted: the open hour on its page, earlier ones as delivered."""
    open_hour = parse_instant(agent.health()["hour"])
    amounts = agent.open_amounts()
    start, _ = covered_span(open_hour)
    earlier = [r.counters for r in tables.reports.between(CUSTOMER_ID, start, open_hour)]
    return sum(
        counters.get(metric, 0)
        for counters in (amounts, *earlier)
        for metric in ("mqtt_bytes_sent", "mqtt_bytes_received")
    )


def _compare(
    console: Console,
    stack: Stack,
    tables: Tables,
    customer: DemoCustomer,
    simulator: SimulatorProcess,
    truth: Truth,
) -> int:
    """Print both tables and the verdict; return the number of differences."""
    client = stripe.StripeClient(STRIPE_API_KEY, base_addresses={"api": simulator.url})
    period = tables.customers.periods(CUSTOMER_ID)[0].span
    metrics = metric_rows(truth, tables, covered_span(datetime.now(UTC)), CUSTOMER_ID)
    meters = meter_rows(tables, customer, client, stack.api_url, period, CUSTOMER_ID)
    show_metrics(console, metrics)
    show_meters(console, meters)
    agree = [row.agrees for row in metrics] + [row.agrees for row in meters]
    differences = agree.count(False)
    print(f"settled: {sum(row.meter != BASE_FEE for row in meters)} meters, {differences} differences")
    return differences


def _stay(console: Console, stack: Stack, customer: DemoCustomer, simulator: SimulatorProcess) -> None:
    """Keep everything running until Ctrl-C, and say how to look at it."""
    url = f"{stack.api_url}/api/usage/current-period/{CUSTOMER_ID}"
    console.print("\nTraffic goes on, and so do the agent and the schedules. Ask the API:")
    print(f"  curl -H 'Authorization: Bearer {customer.key}' {url}")
    console.print(f"Stripe, simulated: {simulator.url}\nEnd with Ctrl-C.")
    threading.Event().wait()


if __name__ == "__main__":
    sys.exit(main())
