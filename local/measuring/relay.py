"""A TCP relay on loopback that counts what passes: the agent's own bytes, measured by neither end.

Put between the agent and the broker, it gives the third side of the truth: what the broker counted, less what
the relay and the probe counted, must be what the customers' clients counted (`local.measuring.truth`).
"""

import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Relayed:
    """Bytes that passed in each direction since the relay began, over all connections."""

    to_service: int
    to_client: int


class Relay:
    """Forwards every connection on `port` to another port of this machine.

    A side that closes has the other closed; a service that is down has the client's connection closed.
    """

    def __init__(self, service_port: int) -> None:
        self._service_port = service_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._to_service = 0
        self._to_client = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._acceptor = threading.Thread(target=self._accept, name=f"relay-{self.port}")
        self._acceptor.start()

    @property
    def relayed(self) -> Relayed:
        """What has passed so far."""
        with self._lock:
            return Relayed(self._to_service, self._to_client)

    def cut(self) -> None:
        """Break all connections; new ones are taken."""
        with self._lock:
            for end in self._open:
                _hang_up(end)

    def close(self) -> None:
        """Break all connections and take no more; returns when all that passed is counted."""
        self._closing = True
        # Closing a listener does not wake the thread that waits in accept; a shutdown does.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._closing:
                    return
                raise
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(target=self._serve, args=(client,), name=f"relay-{self.port}-client")
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                service = socket.create_connection(("127.0.0.1", self._service_port))
            except ConnectionRefusedError:
                # The client sees a closed connection, as it would behind any proxy.
                return
            with service:
                with self._lock:
                    self._open |= {client, service}
                back = threading.Thread(target=self._pump, args=(service, client, False))
                back.start()
                self._pump(client, service, True)
                back.join()
                with self._lock:
                    self._open -= {client, service}

    def _pump(self, source: socket.socket, target: socket.socket, to_service: bool) -> None:  # noqa: FBT001 - a direction, given twice
        try:
            while chunk := source.recv(_CHUNK):
                with self._lock:
                    if to_service:
                        self._to_service += len(chunk)
                    else:
                        self._to_client += len(chunk)
                target.sendall(chunk)
        except OSError:
            # Either end was reset; what was read is counted, and both ends are closed below.
            _hang_up(source)
        _hang_up(target)


def _hang_up(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It is closed already, which is all that was wanted.
        return
