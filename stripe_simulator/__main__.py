"""``python -m stripe_simulator``: the simulator as a program of its own."""

import argparse
import sys
from pathlib import Path

from stripe_simulator.engine.clock import Clock
from stripe_simulator.serving.server import NotLoopbackError, SimulatorServer, listening, prepared


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m stripe_simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--now", type=int, help="stand at this instant (epoch seconds), not real time")
    parser.add_argument("--state", type=Path, help="a file that keeps the state over restarts")
    wanted = parser.parse_args(arguments)
    try:
        listener = listening(wanted.host, wanted.port)
    except (NotLoopbackError, OSError) as error:
        print(f"stripe simulator: {error}", file=sys.stderr)
        return 2
    with listener:
        url = f"http://{wanted.host}:{listener.getsockname()[1]}"
        server = SimulatorServer(prepared(Clock(wanted.now), wanted.state, url))
        print(f"listening on {url}", flush=True)
        server.run([listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
