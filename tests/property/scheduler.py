"""Runs several actors over one fake table client, one call at a time, in an order that the test chooses.

An actor is plain code in a thread of its own. It runs only while it holds the baton: at each call of the
client it hands the baton back and waits. So whatever the actors do between two calls is atomic, every
interleaving of calls can be had, and the same choices give the same run. An actor may also be killed in place
of a call, as a process is: nothing it had in hand is done or undone. It may catch `Killed` outside all of its
work and begin anew, as a process that is started again.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from testing.dynamodb import Call, FakeDynamoDb

_BATON_SECONDS = 60


class Killed(BaseException):
    """Unwinds an actor that was killed; no `except Exception` holds it up."""


class _Stopped(BaseException):
    """Unwinds an actor because the run is over."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who moves next, as a number that is taken modulo the actors still there; and whether it dies."""

    actor: int
    dies: bool = False


@dataclass
class _Actor:
    name: str
    program: Callable[[], None]
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    thread: threading.Thread | None = None
    dies: bool = False
    stopped: bool = False
    over: bool = False
    error: BaseException | None = None


@dataclass
class Scheduler:
    """One run of actors over a client. ``watch`` is called after every step, while no actor moves."""

    client: FakeDynamoDb
    watch: Callable[[], None] = lambda: None
    trace: list[str] = field(default_factory=list)
    _baton: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _moving: _Actor | None = None

    def run(self, programs: Mapping[str, Callable[[], None]], choices: Iterator[Choice]) -> None:
        """Run all programs to their end, or to their death; when the choices end they take turns.

        Raises
        ------
        Exception
            Whatever the first failing program or ``watch`` raised.
        """
        actors = [_Actor(name, program) for name, program in programs.items()]
        outside, self.client.before = self.client.before, self._step
        try:
            for actor in actors:
                actor.thread = threading.Thread(target=self._live, args=(actor,), daemon=True)
                actor.thread.start()
            self._turns(actors, choices)
        finally:
            for actor in actors:
                self._end(actor)
            self.client.before = outside

    def _turns(self, actors: list[_Actor], choices: Iterator[Choice]) -> None:
        turn = 0
        while alive := [actor for actor in actors if not actor.over]:
            choice = next(choices, Choice(turn))
            turn += 1
            actor = alive[choice.actor % len(alive)]
            self._move(actor, dies=choice.dies)
            if actor.error is not None:
                raise actor.error
            self.watch()

    def _move(self, actor: _Actor, *, dies: bool) -> None:
        actor.dies = dies
        self._moving = actor
        actor.go.release()
        if not self._baton.acquire(timeout=_BATON_SECONDS):
            raise TimeoutError(f"{actor.name} makes no call and does not end")

    def _end(self, actor: _Actor) -> None:
        actor.stopped = True
        if not actor.over:
            self._move(actor, dies=False)
        if actor.thread is not None:
            actor.thread.join()

    def _live(self, actor: _Actor) -> None:
        actor.go.acquire()
        try:
            if not actor.stopped:
                actor.program()
        except (Killed, _Stopped):
            self.trace.append(f"{actor.name} is gone")
        except BaseException as error:  # noqa: BLE001  handed to the run, which raises it
            actor.error = error
        finally:
            actor.over = True
            self._baton.release()

    def _step(self, call: Call) -> None:
        actor = self._moving
        assert actor is not None
        self._baton.release()
        actor.go.acquire()
        if actor.stopped:
            raise _Stopped
        if actor.dies:
            self.trace.append(f"{actor.name}: killed before {call.operation} {call.table} {call.key}")
            raise Killed
        self.trace.append(f"{actor.name}: {call.operation} {call.table} {call.key}")
