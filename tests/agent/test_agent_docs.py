"""What the administrator reads is what the agent does."""

import re
from pathlib import Path

import pytest

from agent import settings
from agent.collectors.registry import SOURCES
from agent.section import RegisteredSource
from agent.settings_table import rewritten

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_with_its_default() -> None:
    """A variable without a line in docs/agent.md, or a line without a variable, is an error."""
    text = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\| `[A-Z_]+`", line)]
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row[1])}

    assert documented == {variable.name for variable in settings.VARIABLES.values()} | {"AGENT_CONFIG"}


def test_the_tables_of_the_page_are_those_that_the_code_makes() -> None:
    """A setting or a source that changes changes its row: `python -m agent.settings_table docs/agent.md`."""
    page = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")

    assert rewritten(page) == page


@pytest.mark.parametrize("marker", ["<!-- end of sources -->", "<!-- settings: "])
def test_a_page_that_lost_a_marker_is_not_written(marker: str) -> None:
    """Without both marker comments nobody knows where the table belongs."""
    page = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")

    with pytest.raises(ValueError, match="one place for the table"):
        rewritten(page.replace(marker, ""))


def test_every_setting_has_one_variable() -> None:
    """What the file can say the environment can say, and no two variables have one name."""
    own = {("source",), *((name,) for name in settings.Settings.model_fields)}
    sections = {(source.name, key) for source in SOURCES for key in source.section.model_fields}
    names = [variable.name for variable in settings.VARIABLES.values()]

    assert own | sections == {("source",), *settings.VARIABLES}
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_sample_of_a_source_enables_it_alone(source: RegisteredSource) -> None:
    """What stands beside a source's code is what an administrator can start from."""
    sample = ROOT / "agent" / "collectors" / source.name / "sample.toml"
    loaded = settings.load({"AGENT_CONFIG": str(sample)})

    assert [source.name] == [one.name for one in SOURCES if loaded.section(one.section) is not None]


def test_the_example_sets_only_what_the_agent_knows() -> None:
    """The agent does not see a misspelt variable, so the example must not have one."""
    text = (ROOT / "docs" / "examples" / "compose.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"^ {6}([A-Z_]+):", text, re.MULTILINE))
    known = {variable.name for variable in settings.VARIABLES.values()}
    secret = {f"{variable.name}_FILE" for variable in settings.VARIABLES.values() if variable.secret}

    assert {"CUSTOMER_ID", "MQTT_HOST"} <= named
    assert named <= known | secret


def test_the_image_sets_only_what_the_agent_knows() -> None:
    """Paths and addresses of the image reach the settings under their names."""
    text = (ROOT / "agent" / "Dockerfile").read_text(encoding="utf-8")
    named = set(re.findall(r"([A-Z_]+)=[^=]", text[text.index("ENV ") : text.index("EXPOSE")]))

    assert {"JOURNAL_PATH", "HEALTH_ADDRESS"} <= named
    assert named <= {v.name for v in settings.VARIABLES.values()} | {
        "MALLOC_ARENA_MAX",
        "PYTHONDONTWRITEBYTECODE",
    }
