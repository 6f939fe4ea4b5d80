"""What the settings are made of: sections, the variables that fill them, and what a source says of itself.

The agent's own settings are one section, those of each source another, beside the source's code. Source:
docs/agent-design.md#configuration.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings that belong together; one that it does not know is an error, and no value is shown in one."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable and the setting that it fills.

    ``key`` is the setting's name in its section; ``meaning`` and ``default`` are the text of its row in the
    table of settings (docs/agent.md), the latter only where the section's own default does not say it. A
    ``secret`` may also come from the file that ``<name>_FILE`` names.
    """

    name: str
    key: str
    meaning: str
    default: str | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class RegisteredSource:
    """What a source of this package says of itself, without its library being imported.

    ``name`` is its folder and its table in the TOML file; ``collector`` names a callable
    ``"package.module:callable"`` that takes the section, the clock and the distance of two looks;
    ``title``, ``figures`` and ``needs`` are its row in the table of what the agent measures (docs/agent.md).
    """

    name: str
    section: type[Section]
    variables: tuple[Variable, ...]
    collector: str
    title: str
    figures: str
    needs: str
