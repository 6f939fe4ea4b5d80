"""The HTTP server, in this process or in a thread of its own."""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import override

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving import control, pages
from stripe_simulator.serving.account import StripeAccount
from stripe_simulator.serving.simulator import Simulator
from stripe_simulator.serving.state_file import StateFile

_STOP_DEADLINE_S = 10


class NotLoopbackError(ValueError):
    """A host that others than this machine could reach."""


def application(simulator: Simulator) -> Starlette:
    """The ASGI application: Stripe's API under /v1 and /v2, the control under /_sim, pages for people."""
    every = ["GET", "POST", "DELETE", "PUT", "PATCH"]
    return Starlette(
        routes=[
            *control.routes(simulator),
            *pages.routes(simulator),
            Route("/v1/{rest:path}", simulator.serve, methods=every),
            Route("/v2/{rest:path}", simulator.serve, methods=every),
        ]
    )


class SimulatorServer(uvicorn.Server):
    """A uvicorn server that can cut a connection, and ends its hanging calls when it stops."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(uvicorn.Config(application(simulator), http="h11", log_level="warning", ws="none"))
        self._simulator = simulator
        simulator.drop = self._drop

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._simulator.release()
        await super().shutdown(sockets)

    def _drop(self, client: tuple[str, int]) -> None:
        for connection in self.server_state.connections:
            if isinstance(connection, H11Protocol) and connection.client == client:
                connection.transport.abort()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on a loopback address; port 0 takes a free one.

    Raises
    ------
    NotLoopbackError
        The host is not a loopback address: the simulator is for this machine alone.
    """
    if host != "localhost" and not _is_loopback(host):
        raise NotLoopbackError(f"{host} is not a loopback address.")
    # named TCP outright: only then does asyncio switch off Nagle's delay, 40 ms an answer
    listener = socket.socket(_family(host), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def prepared(clock: Clock, state_path: Path | None, url: str) -> Simulator:
    """A simulator where its file ends, empty without one."""
    account, state_file = StripeAccount(), StateFile(state_path)
    account.state.public_url = url
    state_file.replay(account, clock)
    return Simulator(clock=clock, account=account, state_file=state_file)


@dataclass(frozen=True)
class RunningSimulator:
    """A simulator that answers under ``url``.

    ``stripe`` is the account; look into its ``state`` while no call is on its way.
    """

    url: str
    clock: Clock
    simulator: Simulator

    @property
    def stripe(self) -> StripeAccount:
        """The account as it is now (a reset makes another one)."""
        return self.simulator.account


@contextmanager
def running_simulator(
    clock: Clock | None = None, state_path: Path | None = None
) -> Iterator[RunningSimulator]:
    """A simulator in a thread on a free port, until the block ends.

    Parameters
    ----------
    clock
        The clock that it lives by; one with real time unless given.
    state_path
        The file that keeps its state; none unless given.
    """
    clock = clock or Clock()
    with listening("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        simulator = prepared(clock, state_path, url)
        server = SimulatorServer(simulator)
        # the listener's backlog takes connections until the thread answers: no waiting for readiness
        thread = threading.Thread(target=server.run, args=([listener],), name="stripe-simulator")
        thread.start()
        try:
            yield RunningSimulator(url, clock, simulator)
        finally:
            server.should_exit = True
            thread.join(_STOP_DEADLINE_S)
