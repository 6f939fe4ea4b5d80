"""A program on a loopback port: started, awaited, stopped, killed, and its last words when it dies.

The real programs of the demo and the tests are of this kind: each is a context manager with ``start``,
``stop`` (SIGTERM, then SIGKILL), ``kill`` (SIGKILL at once, as a power cut) and ``restart``; ``start``
returns when the program answers. Source: docs/local.md#parts
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from local.environment import scrubbed

_LOOK_EVERY_SECONDS = 0.02
_LAST_LINES = 8


class ServiceError(Exception):
    """A program of the local stack could not be used; the text is one sentence that says what to do."""


class ProgramMissing(ServiceError):  # noqa: N818 - says what is the case, as our error names do
    """A program is not installed."""

    def __init__(self, program: str, remedy: str) -> None:
        super().__init__(f"{program} is not on this machine; get it with: {remedy}")
        self.program = program
        self.remedy = remedy


class PortInUse(ServiceError):  # noqa: N818 - says what is the case, as our error names do
    """Somebody else listens on the port that was asked for."""

    def __init__(self, program: str, port: int) -> None:
        super().__init__(f"{program} cannot listen on 127.0.0.1:{port}: something else does")
        self.port = port


class ProgramDied(ServiceError):  # noqa: N818 - says what is the case, as our error names do
    """A program ended on its own; ``last_lines`` are the end of its log."""

    def __init__(self, program: str, returncode: int, last_lines: Sequence[str]) -> None:
        said = " | ".join(last_lines) or "it said nothing"
        super().__init__(f"{program} ended with status {returncode}: {said}")
        self.returncode = returncode
        self.last_lines = list(last_lines)


class NotReady(ServiceError):  # noqa: N818 - says what is the case, as our error names do
    """A program runs but did not answer in time."""

    def __init__(self, program: str, seconds: float, last_lines: Sequence[str]) -> None:
        said = " | ".join(last_lines) or "it said nothing"
        super().__init__(f"{program} did not answer within {seconds:g} s: {said}")


def find_program(name: str, remedy: str, folders: Sequence[Path] = ()) -> Path:
    """Where a program is: on the path, in the system's folders, or in ``folders``, in this order.

    Raises `ProgramMissing` with the remedy when it is nowhere.
    """
    # Debian keeps daemons in /usr/sbin, which an ordinary user's path leaves out.
    path = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", *map(str, folders)]
    )
    found = shutil.which(name, path=path)
    if found is None:
        raise ProgramMissing(name, remedy)
    return Path(found)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that the operating system says is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a connection in TIME_WAIT does not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Program(ABC):
    """One program, its port and its folder; ``with`` starts it and stops it.

    ``folder`` keeps the log (``<name>.log``, appended over restarts) and the configuration; it is made when
    missing. ``port`` stays the same over restarts; without one the operating system chooses.
    """

    name: str
    stop_signal = signal.SIGTERM
    ready_within_seconds = 20.0
    stop_within_seconds = 10.0

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = free_port() if port is None else port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file with everything the program printed."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The process id of the running program; `ServiceError` when it does not run."""
        if self._process is None:
            raise ServiceError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the program and wait until it answers.

        Raises `ProgramMissing`, `PortInUse`, `ProgramDied` or `NotReady`; nothing is left running then.
        """
        if self.running:
            raise ServiceError(f"{self.name} is running already")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._prepare()
        if not _is_free(self.port):
            raise PortInUse(self.name, self.port)
        self._process = self._spawn()
        try:
            self._await_answer(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the program in order, with SIGKILL when it does not listen; nothing happens if it is gone."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the program at once (SIGKILL), as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) the program and start it again on the same port and folder."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Hold the program still (SIGSTOP) during a ``with``: connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop the program and remove what was made for it outside the folder."""
        self.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _prepare(self) -> None:
        """Write the configuration; called before each start."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """The command line."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the program serves."""

    def _environment(self) -> dict[str, str]:
        return scrubbed({})

    def _account(self) -> tuple[int, int] | None:
        """The user and group to run as; the caller's own when absent."""
        return None

    def _spawn(self) -> subprocess.Popen[bytes]:
        account = self._account()
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                cwd=self._working_folder(),
                user=None if account is None else account[0],
                group=None if account is None else account[1],
                extra_groups=None if account is None else [],
                # Ctrl-C at the terminal reaches the launcher alone, which ends its programs in order.
                start_new_session=True,
            )

    def _working_folder(self) -> Path:
        return self.folder

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.ready_within_seconds
        while True:
            if (returncode := process.poll()) is not None:
                raise ProgramDied(self.name, returncode, self._last_lines())
            # The port was free a moment ago: somebody else's program of the same kind may be on it by now.
            if self._answers() and _listens(process.pid, self.port):
                return
            if time.monotonic() > deadline:
                raise NotReady(self.name, self.ready_within_seconds, self._last_lines())
            time.sleep(_LOOK_EVERY_SECONDS)

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        children = _children(self._process.pid) if self._process.poll() is None else []
        self._process.send_signal(sign)
        try:
            self._process.wait(self.stop_within_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._await_children(children)

    def _await_children(self, children: Sequence[int]) -> None:
        # PostgreSQL refuses to start again while a child of the killed server still holds its memory.
        deadline = time.monotonic() + self.stop_within_seconds
        while any(_lives(child) for child in children):
            if time.monotonic() > deadline:
                raise ServiceError(f"children of {self.name} outlived it: {children}")
            time.sleep(_LOOK_EVERY_SECONDS)

    def _last_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]


def _children(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in listing.read_text().split()]
    except FileNotFoundError:
        # The process has ended meanwhile, or this is a kernel that does not list children.
        return []


def _listens(pid: int, port: int) -> bool:
    """Tell whether a process itself, or a child of it, listens on a port."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    return any(
        sockets & {_target(link) for link in Path(f"/proc/{one}/fd").glob("*")}
        for one in (pid, *_children(pid))
    )


def _listening_inodes(port: int) -> Iterator[str]:
    for family in ("tcp", "tcp6"):
        table = Path(f"/proc/net/{family}")
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state, *_rest = fields = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                yield fields[9]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        # Closed since it was listed.
        return ""


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    # After the name in brackets comes the state; Z waits for init to collect it and holds nothing.
    return status.rpartition(")")[2].split()[0] != "Z"
