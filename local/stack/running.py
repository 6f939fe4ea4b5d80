"""The local stack: the real template on an emulated AWS, up and down."""

import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from local.environment import REPOSITORY, is_loopback
from local.stack import deploy, ministack
from local.stack.access import Stack, administrator
from local.stack.deploy import Deployment
from local.stack.ministack import Emulator, StackError

NO_STRIPE = "http://127.0.0.1:9"
"""An address that refuses every connection: a local stack without a simulator must not reach Stripe's own."""

STRIPE_API_KEY = "sk_test_local"

type Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StackSettings:
    """What a stack is to be.

    ``stripe_api_base`` is where stripe_report finds Stripe: a simulator on loopback. ``schedules`` tells
    whether the template's schedules fire; otherwise only ``Stack.invoke`` starts the scheduled functions.
    ``report_every_seconds`` is what the API tells agents, ``port`` the emulator's (0 for a free one),
    ``tree`` what to deploy.
    """

    stripe_api_base: str = NO_STRIPE
    schedules: bool = False
    report_every_seconds: int = 900
    port: int = 0
    tree: Path = REPOSITORY


@contextmanager
def running_stack(
    folder: Path, settings: StackSettings | None = None, progress: Progress = lambda _line: None
) -> Generator[Stack]:
    """Run the stack for the time of the block.

    Parameters
    ----------
    folder
        For its logs, its builds and its ``stack.json``; one stack a folder.
    settings
        What it is to be.
    progress
        Is given one line for each step that is done, with its time.

    Raises
    ------
    StackError
        The stack cannot run; nothing of it is left running.
    """
    stack = bring_up(folder, settings or StackSettings(), progress)
    try:
        yield stack
    finally:
        bring_down(folder)


def bring_up(folder: Path, settings: StackSettings, progress: Progress) -> Stack:
    """Start and deploy the stack and leave it running; ``running_stack`` says what is given and raised."""
    host = urlsplit(settings.stripe_api_base).hostname
    if host is None or not is_loopback(host):
        raise StackError(f"Stripe's address {settings.stripe_api_base!r} is not on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    held = read(folder)
    if held is not None and ministack.is_running(held):
        raise StackError(
            f"a stack already runs in {folder} (process {held.pid});"
            f" end it with: python -m local down {folder}"
        )
    emulator = ministack.start(folder, ministack.choose_port(settings.port))
    _write(folder, emulator, None)
    try:
        with _timed(progress, "sam build"):
            deploy.build(settings.tree, folder)
        with _timed(progress, "ministack"):
            ministack.wait_until_ready(emulator, folder)
        with _timed(progress, "sam deploy"):
            _deploy(
                settings.tree,
                folder,
                emulator,
                {
                    "Schedules": "ENABLED" if settings.schedules else "DISABLED",
                    "StripeApiBase": settings.stripe_api_base,
                    "ReportEverySeconds": str(settings.report_every_seconds),
                },
            )
        with _timed(progress, "routes and secret"):
            deployment = _finish(emulator)
    except BaseException:
        bring_down(folder)
        raise
    _write(folder, emulator, deployment)
    return Stack(folder, emulator, deployment)


def bring_down(folder: Path) -> bool:
    """End what was started in the folder, by process id; whether there was anything."""
    held = read(folder)
    if held is None:
        return False
    was_running = ministack.is_running(held)
    ministack.stop(held, folder)
    (folder / "stack.json").unlink()
    return was_running


def read(folder: Path) -> Emulator | None:
    """Return the emulator that was started in the folder, running or not."""
    path = folder / "stack.json"
    if not path.exists():
        return None
    return Emulator(**json.loads(path.read_text())["emulator"])


def attach(folder: Path) -> Stack:
    """Return the stack that another process has brought up in the folder.

    Raises
    ------
    StackError
        None is up there.
    """
    emulator = read(folder)
    if emulator is None or not ministack.is_running(emulator):
        raise StackError(f"no stack is running in {folder}")
    deployment = json.loads((folder / "stack.json").read_text())["deployment"]
    if deployment is None:
        raise StackError(f"the stack in {folder} is still being deployed")
    return Stack(folder, emulator, Deployment(**deployment))


def _write(folder: Path, emulator: Emulator, deployment: Deployment | None) -> None:
    """Keep what ends the stack, and what another program needs to use it."""
    known = {"emulator": asdict(emulator), "deployment": asdict(deployment) if deployment else None}
    temporary = folder / "stack.json.new"
    temporary.write_text(json.dumps(known, indent=2) + "\n")
    temporary.replace(folder / "stack.json")


def _deploy(tree: Path, folder: Path, emulator: Emulator, parameters: Mapping[str, str]) -> None:
    try:
        deploy.deploy(tree, folder, emulator.endpoint, parameters)
    except StackError as error:
        try:
            reason = deploy.first_failure(administrator(emulator.endpoint, "cloudformation"))
        except (BotoCoreError, ClientError):
            raise error from None  # sam's own words are all there is
        if not reason:
            raise
        raise StackError(
            f"the deploy failed at {reason} (the whole log is {folder / 'sam-deploy.log'})"
        ) from error


def _finish(emulator: Emulator) -> Deployment:
    try:
        return deploy.finish(
            lambda service: administrator(emulator.endpoint, service), emulator.endpoint, STRIPE_API_KEY
        )
    except (BotoCoreError, ClientError) as error:
        raise StackError(f"the deployed stack could not be given its routes and secret: {error}") from error


@contextmanager
def _timed(progress: Progress, step: str) -> Generator[None]:
    start = time.monotonic()
    yield
    progress(f"  {step:<46}{time.monotonic() - start:6.1f} s")
