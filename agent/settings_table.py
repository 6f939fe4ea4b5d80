"""The two tables of docs/agent.md that the code knows best: what is measured, and every setting.

``python -m agent.settings_table docs/agent.md`` writes them anew between the page's marker comments. Source:
docs/agent-design.md#configuration.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path, PurePath

from agent.collectors.registry import SOURCES
from agent.section import Section, Variable
from agent.settings import CONFIG, VARIABLES, Settings

_CONFIG = Variable(CONFIG, "", "a TOML file with the same settings")
_SECTIONS: dict[str, type[Section]] = {source.name: source.section for source in SOURCES}


def sources_table() -> str:
    """What the agent measures: a row for each source."""
    rows = [(source.title, source.figures, source.needs) for source in SOURCES]
    return _table(("source", "figures", "what it needs"), rows)


def settings_table() -> str:
    """Every variable with its default and its meaning: the agent's own, then those of each source."""
    rows = [_row(Settings, variable) for path, variable in VARIABLES.items() if len(path) == 1]
    rows.append(_row(Settings, _CONFIG))
    rows += [_row(_SECTIONS[path[0]], variable) for path, variable in VARIABLES.items() if len(path) > 1]
    return _table(("variable", "default", "meaning"), rows)


def rewritten(page: str) -> str:
    """The page with both tables as they are now.

    Raises
    ------
    ValueError
        When a table's marker comments are not in the page.
    """
    for name, table in (("sources", sources_table()), ("settings", settings_table())):
        between = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        parts = between.split(page)
        if len(parts) != 4:  # noqa: PLR2004  what stands before, two markers, what stands after
            raise ValueError(f"the page must have one place for the table of {name}")
        page = parts[0] + parts[1] + table + parts[2] + parts[3]
    return page


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [" | ".join(row) for row in (head, *rows)]
    first, *others = [f"| {line} |\n" for line in lines]
    return first + "|---" * len(head) + "|\n" + "".join(others)


def _row(section: type[Section], variable: Variable) -> tuple[str, str, str]:
    name = f"`{variable.name}` *" if variable.secret else f"`{variable.name}`"
    return name, variable.default or _default(section, variable.key), variable.meaning


def _default(section: type[Section], key: str) -> str:
    field = section.model_fields.get(key)
    default = None if field is None or field.is_required() else field.default
    match default:
        case None:
            return "none"
        case bool():
            return str(default).lower()
        case str() | PurePath():
            return f"`{default}`"
        case _:
            return str(default)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
