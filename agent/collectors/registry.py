"""The sources that this package knows, one line each; their libraries are imported only when enabled.

To add a source: a folder beside this file, and its name here. The folder has ``settings.py`` with a
`agent.section.RegisteredSource` named ``SOURCE``, a ``sample.toml`` and the collector. Source:
docs/agent-design.md#collectors.
"""

from importlib import import_module

from agent.section import RegisteredSource

_FOLDERS = (
    "mosquitto",
    "postgres",
)


def _registered(folder: str) -> RegisteredSource:
    source: RegisteredSource = import_module(f"{__package__}.{folder}.settings").SOURCE
    return source


SOURCES: tuple[RegisteredSource, ...] = tuple(_registered(folder) for folder in _FOLDERS)
"""What each of them says of itself, in the order in which they are asked."""
