"""``python -m agent run|check|status|requeue``: the agent's command line.

argparse, because typer and rich would take a third of the agent's memory for four commands without options.
"""

import argparse
import logging
import os
import sys

from agent.console import check, requeue, status
from agent.engine.clock import MachineClock
from agent.journal.file import JournalError
from agent.run import run
from agent.settings import SettingsError, load

WRONG_SETTINGS = 2
CANNOT_START = 1


def main() -> int:
    """Do what the command line says; returns the exit status: 2 for settings that cannot be used."""
    parser = argparse.ArgumentParser(prog="agent", description="Counts what this instance uses.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="measure, keep and send, until a signal says stop")
    commands.add_parser("check", help="try every source and the billing service once, and print a table")
    commands.add_parser("status", help="print the open hour, what waits, and each source's last success")
    commands.add_parser("requeue", help="send what the service refused again, as the next revision")
    command = parser.parse_args().command
    try:
        settings = load(os.environ)
        _log(settings.log_level)
        if command == "run":
            return run(settings, MachineClock())
        match command:
            case "check":
                lines, well = check(settings, MachineClock())
            case "requeue":
                lines, well = requeue(settings)
            case _:
                lines, well = status(settings)
    except SettingsError as error:
        print("The settings cannot be used:", *error.problems, sep="\n  ", file=sys.stderr)
        return WRONG_SETTINGS
    except JournalError as error:
        print(error, file=sys.stderr)
        return CANNOT_START
    print(*lines, sep="\n")
    return 0 if well else 1


def _log(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # One line a request says nothing that our own lines do not say better.
    logging.getLogger("httpx").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
