"""``python -m local up | down | status``: the local stack from a terminal."""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from local.environment import REPOSITORY
from local.stack.ministack import StackError
from local.stack.running import NO_STRIPE, StackSettings, attach, bring_down, bring_up

_FOLDER = REPOSITORY / ".run"


def main() -> int:
    """Do what the arguments say; 1 and one sentence when it cannot be done."""
    # An interrupted `up` must take down what it started, whatever the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = _arguments()
    try:
        match chosen.command:
            case "up":
                return _up(chosen)
            case "down":
                print("The stack is down." if bring_down(chosen.folder) else "There was no stack to end.")
                return 0
            case _:
                return _status(chosen.folder)
    except StackError as error:
        print(f"local: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("local: interrupted; nothing is left running", file=sys.stderr)
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description="The local stack, without Docker.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the emulator, build and deploy the template")
    up.add_argument("--port", type=int, default=0, help="of the emulator (default: any that is free)")
    up.add_argument("--stripe-api-base", default=NO_STRIPE, help="a simulator's address (default: none)")
    up.add_argument("--report-every-seconds", type=int, default=900, help="what agents are told (60 to 3600)")
    up.add_argument("--no-schedules", dest="schedules", action="store_false", help="let no schedule fire")
    down = commands.add_parser("down", help="end what up started")
    status = commands.add_parser("status", help="what runs, and where")
    for command in (up, down, status):
        command.add_argument(
            "folder", nargs="?", type=Path, default=_FOLDER, help="of the stack (default: .run)"
        )
    return parser.parse_args()


def _up(chosen: argparse.Namespace) -> int:
    stack = bring_up(
        chosen.folder.resolve(),
        StackSettings(
            stripe_api_base=chosen.stripe_api_base,
            schedules=chosen.schedules,
            report_every_seconds=chosen.report_every_seconds,
            port=chosen.port,
        ),
        lambda line: print(line, flush=True),
    )
    print(f"The stack is up.\n  API   {stack.api_url}\n  AWS   {stack.endpoint} (key and secret: test)")
    print(f"  more  {stack.folder / 'stack.json'}")
    place = "" if stack.folder == _FOLDER else f" {stack.folder}"
    print(f"End it with: python -m local down{place}")
    return 0


def _status(folder: Path) -> int:
    stack = attach(folder)
    print(json.dumps(asdict(stack.emulator) | asdict(stack.deployment), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
