"""The AWS emulator ministack as a process on loopback, with IAM enforcement on."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from local.environment import REPOSITORY, scrubbed

LOOPBACK = "127.0.0.1"
REGION = "us-east-1"

# Under AUTH=true the emulator takes the pair of its own environment for the account's root, and gives each
# function the session of its role; any other key is refused unless IAM made it.
ADMINISTRATOR = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}

PROGRAMS = REPOSITORY / ".tools" / "ministack" / "bin"
"""The emulator, and the ``python3.13`` with pip that functions run on and sam builds the layers with."""

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""What this process started, to be reaped by it; another process may end it as well."""


class StackError(RuntimeError):
    """The local stack cannot run; the text is one sentence for the person who started it."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator: where it answers, and the process to end."""

    endpoint: str
    pid: int
    started: str
    """When the process began, as the kernel counts: a recycled process id is not ours to end."""


def tool_path() -> str:
    """Return a ``PATH`` that finds ``python3.13`` outside the tree too, where a pyenv shim fails."""
    return os.pathsep.join([str(PROGRAMS), os.environ.get("PATH", os.defpath)])


def choose_port(port: int = 0) -> int:
    """Return the port if it is free on loopback, or any free one for 0.

    Raises
    ------
    StackError
        The port is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise StackError(f"port {port} on {LOOPBACK} cannot be had: {error}") from error
        return int(probe.getsockname()[1])


def start(folder: Path, port: int) -> Emulator:
    """Start the emulator with its temporary files and its log in the folder; it is not ready yet.

    Raises
    ------
    StackError
        The emulator is not installed.
    """
    program = PROGRAMS / "ministack"
    if not program.exists():
        raise StackError("ministack is not installed in .tools/ministack: run `make setup`")
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = scrubbed(
        ADMINISTRATOR
        | {
            "PATH": tool_path(),
            "TMPDIR": str(temporary),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": LOOPBACK,
            # Queue addresses carry this name; "localhost" may mean ::1 first, where nothing listens.
            "MINISTACK_HOST": LOOPBACK,
            "MINISTACK_REGION": REGION,
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
        }
    )
    # The functions' processes inherit all of this; they must find `metering` in their layer or not at all.
    environment.pop("PYTHONPATH", None)
    with (folder / "ministack.log").open("w") as log:
        process = subprocess.Popen(
            [program],
            cwd=temporary,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _CHILDREN[process.pid] = process
    return Emulator(f"http://{LOOPBACK}:{port}", process.pid, _begun(process.pid))


def wait_until_ready(emulator: Emulator, folder: Path) -> None:
    """Wait until the emulator answers.

    Raises
    ------
    StackError
        It ended, or does not answer within a minute.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if not is_running(emulator):
            raise StackError(f"ministack ended at its start: {_last_line(folder / 'ministack.log')}")
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
            urllib.request.urlopen(f"{emulator.endpoint}/_ministack/health", timeout=2),  # noqa: S310 - loopback
        ):
            return
        time.sleep(0.05)
    raise StackError(f"ministack does not answer on {emulator.endpoint} after {_START_SECONDS:.0f} s")


def is_running(emulator: Emulator) -> bool:
    """Whether the very process that was started is still there."""
    return _begun(emulator.pid) == emulator.started != ""


def stop(emulator: Emulator, folder: Path) -> None:
    """End the emulator and the functions' processes that it started, and remove its temporary files."""
    if is_running(emulator):
        # It leads its own session, so the group is exactly what it started.
        _signal_group(emulator.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while is_running(emulator) and time.monotonic() < deadline:
            time.sleep(0.05)
        _signal_group(emulator.pid, signal.SIGKILL)
    if child := _CHILDREN.pop(emulator.pid, None):
        child.wait()
    shutil.rmtree(folder / "tmp", ignore_errors=True)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # ended by itself meanwhile, which is what is wanted
        os.killpg(pid, number)


def _begun(pid: int) -> str:
    """The start time of a process in kernel ticks, field 22 of its stat (proc(5)); empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
