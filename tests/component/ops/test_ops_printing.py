"""What ops prints is printed as given: no bracket, slash or colon in a value is markup or an emoji."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

import ops
from metering.core.accounts import Customer
from metering.core.instants import hour_of
from ops.__main__ import app
from ops.deployment import Deployment
from ops.errors import OperatorError
from ops.probe.check import ProbeVerdict
from ops.terminal import printing
from tests.component.ops.desk import Desk

NAME = "Nordwind [/old] [bold]AG :warning:"
MAIL = "pay:warning:@nordwind.example"

COMMANDS = {
    "customers add": ("acme", "--name", NAME, "--email", MAIL, "--no-stripe", "--json"),
    "customers show": ("acme",),
    "customers list": (),
    "customers suspend": ("acme", "--dry-run"),
    "customers resume": ("acme",),
    "customers set-plan": ("acme", "[/old]"),
    "adjust": ("acme", "--period", "[/old]", "--meter", "storage", "--quantity", "1", "--reason", "x"),
    "settle": ("acme", "[/old]", "--write-off", "--reason", "x"),
    "customers attach": ("acme", "--stripe-customer", "[/old]"),
    "instances add": ("acme", "[/old]"),
    "instances rotate-key": ("acme", "[/old]"),
    "instances revoke": ("acme", "[/old]"),
    "instances list": ("[/old]",),
    "reconcile": (),
    "late-usage": (),
    "status": (),
    "simulate": ("--plan", "[/old]"),
    "portal": ("[/old]",),
    "replay": ("acme", "--from", "2026-11-01", "--to", "[/old]"),
    "stripe sync": (),
    "stripe probe": (),
}
"""Every command, with a value in it that markup would eat where the command takes or prints one."""

PRINTED = {
    "customers add": NAME,
    "customers show": NAME,
    "customers list": NAME,
    "reconcile": "acme: it said [/old] :warning:",
    "stripe sync": "of [/old] :warning: is past_due",
    "stripe probe": "400 [/old] :warning:",
} | {command: "[/old]" for command, arguments in COMMANDS.items() if "[/old]" in arguments}
"""What of it a command prints, in its answer or in what it says beside it."""


def _leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*path, name))
        else:
            yield " ".join((*path, name))


@pytest.fixture
def nordwind(synced: Desk) -> Desk:
    """A desk with a customer, and a Stripe, an assumption and a function whose words look like markup."""
    acme = Customer(customer_id="acme", name=NAME, plan="starter@1", billing_email=MAIL)
    synced.tables.customers.add(acme.model_copy(update={"stripe_customer_id": "cus_1"}))
    synced.used("acme", hour_of(synced.now), gib=1)

    def failing(*_: Any, **__: Any) -> Any:
        raise OperatorError("it said [/old] :warning:")

    class Checked:
        assumption = "an [/old] :warning: assumption"

        @staticmethod
        def run(_: Any) -> tuple[ProbeVerdict, str]:
            return ProbeVerdict.HOLDS, "400 [/old] :warning:"

    synced.monkeypatch.setattr(Deployment, "invoke", failing)
    synced.monkeypatch.setattr("ops.commands.probe.CHECKS", (Checked,))
    warning = "the subscription sub_1 of [/old] :warning: is past_due"
    synced.monkeypatch.setattr("ops.sync.subscription_warnings", lambda _: iter((warning,)))
    return synced


def test_every_command_is_tried() -> None:
    """No command is left out of the table above."""
    assert {*COMMANDS} == {*_leaves(typer.main.get_command(app))}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_value_is_printed_as_given(nordwind: Desk, command: str) -> None:
    """No command dies of a name with brackets, slashes or colons; where it prints one, it is as given."""
    result = nordwind.run(*command.split(), *COMMANDS[command])

    assert "Traceback" not in result.err
    assert PRINTED.get(command, "") in " ".join((result.out + result.err).split())


def test_every_place_of_a_table_is_as_given(capsys: pytest.CaptureFixture[str]) -> None:
    """Title, headings and cells of a table hold what they were given, whole, however long one is."""
    long = "x" * 300
    printing.print_rows([(NAME, long)], (":warning:", "[/b]"), as_json=False, title="[/a]")
    printed = capsys.readouterr().out

    assert all(value in printed for value in (NAME, ":warning:", "[/b]", "[/a]"))
    assert 300 == printed.count("x")


def test_sentences_are_as_given(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer and a message hold what they were given."""
    printing.console.print(NAME)
    printing.messages.print(NAME)

    assert (f"{NAME}\n", f"{NAME}\n") == capsys.readouterr()


def test_a_bar_is_as_given(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a bar says of its work is as given."""
    terminal = Console(stderr=True, force_terminal=True, width=140, markup=False, emoji=False)
    monkeypatch.setattr(printing, "messages", terminal)
    assert [1] == [*printing.progress([1], NAME)]

    assert NAME in capsys.readouterr().err


def test_only_one_module_knows_how_to_print() -> None:
    """Nothing in ops but the terminal's own module imports rich, so its settings hold for every command."""
    importing = {
        str(path.relative_to(Path(ops.__path__[0])))
        for path in Path(ops.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(
            name.partition(".")[0] == "rich"
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        )
    }

    assert {"terminal/printing.py"} == importing
