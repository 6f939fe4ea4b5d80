"""The simulator's own endpoints under /_sim: clock, faults, settings, state, counters."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from stripe_simulator.serving.contents import contents
from stripe_simulator.serving.faults import BadFaultError, described
from stripe_simulator.serving.simulator import Simulator


def routes(simulator: Simulator) -> list[Route]:
    """The control endpoints of a simulator."""
    control = _Control(simulator)
    return [
        Route("/_sim/clock", control.clock, methods=["GET", "POST"]),
        Route("/_sim/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/_sim/release", control.release, methods=["POST"]),
        Route("/_sim/settings", control.settings, methods=["GET", "POST"]),
        Route("/_sim/calls", control.calls, methods=["GET", "DELETE"]),
        Route("/_sim/state", control.state, methods=["GET"]),
        Route("/_sim/reset", control.reset, methods=["POST"]),
    ]


class _Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def clock(self, request: Request) -> JSONResponse:
        """``{"now": epoch | null}`` sets or frees the clock, ``{"advance": seconds}`` moves it."""
        clock = self._simulator.clock
        if request.method == "POST":
            wanted = await request.json()
            if set(wanted) - {"now", "advance"} or not all(_is_instant(value) for value in wanted.values()):
                return _bad("The clock takes now (epoch seconds or null) and advance (seconds).")
            if "now" in wanted:
                clock.set(wanted["now"])
            clock.advance(wanted.get("advance") or 0)
            self._simulator.state_file.write_clock(clock)
            self._simulator.account.advance(clock.now())
        return JSONResponse({"now": clock.now()})

    async def faults(self, request: Request) -> JSONResponse:
        """A fault or a list of them is added; DELETE forgets all; the answer lists what is still to come."""
        faults = self._simulator.faults
        if request.method == "DELETE":
            faults.clear()
        if request.method == "POST":
            given = await request.json()
            try:
                for fault in [described(one) for one in (given if isinstance(given, list) else [given])]:
                    faults.add(fault)
            except BadFaultError as error:
                return _bad(str(error))
        return JSONResponse(
            {
                "pending": [asdict(fault) for fault in faults.pending],
                "waiting": len(self._simulator.waiting),
            }
        )

    async def release(self, _: Request) -> JSONResponse:
        """Every call goes on that hangs or is held."""
        released = len(self._simulator.waiting)
        self._simulator.release()
        return JSONResponse({"released": released})

    async def settings(self, request: Request) -> JSONResponse:
        """Changes settings by name (``Settings`` and ``hold_s``); the answer is all of them."""
        simulator = self._simulator
        if request.method == "POST":
            wanted: dict[str, Any] = await request.json()
            hold_s = wanted.pop("hold_s", simulator.hold_s)
            now = simulator.clock.now()
            simulator.account.advance(now)
            try:
                simulator.account.change_settings(wanted)
            except ValueError as error:
                return _bad(str(error))
            simulator.hold_s = float(hold_s)
            simulator.state_file.write_settings(wanted, now)
        return JSONResponse({**asdict(simulator.account.state.settings), "hold_s": simulator.hold_s})

    async def calls(self, request: Request) -> JSONResponse:
        """How often each call of the API came; DELETE starts counting anew."""
        counted = self._simulator.calls
        if request.method == "DELETE":
            counted.clear()
        return JSONResponse({"total": counted.total(), "by_path": dict(counted)})

    async def state(self, _: Request) -> JSONResponse:
        """Everything that the account holds."""
        now = self._simulator.clock.now()
        self._simulator.account.advance(now)
        return JSONResponse(contents(self._simulator.account.state, now))

    async def reset(self, _: Request) -> JSONResponse:
        """An empty account with default settings; the clock stays, faults and counters go."""
        self._simulator.reset()
        return JSONResponse({"reset": True})


def _is_instant(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _bad(message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message}}, 400)
