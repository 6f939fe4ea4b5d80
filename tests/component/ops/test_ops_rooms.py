"""A command and its logic bear one name, and every command registers the same way."""

import importlib
import inspect
import pkgutil

import pytest
import typer

import ops
from ops import commands

COMMANDS = [module.name for module in pkgutil.iter_modules(commands.__path__)]


def test_a_command_has_logic_of_its_name() -> None:
    """Each module of commands has a module, or a package, of the same name beside it that is the logic."""
    assert [] == sorted({*COMMANDS} - {module.name for module in pkgutil.iter_modules(ops.__path__)})


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_registers_and_offers_nothing_else(name: str) -> None:
    """A module of commands puts its commands into a command line by `register`, its one public function."""
    module = importlib.import_module(f"ops.commands.{name}")
    offered = [
        one
        for one, value in inspect.getmembers(module, inspect.isfunction)
        if value.__module__ == module.__name__
    ]
    line = typer.Typer()
    module.register(line)

    assert ["register"] == [one for one in offered if not one.startswith("_")]
    assert line.registered_commands
