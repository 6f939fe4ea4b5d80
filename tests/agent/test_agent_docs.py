"""What the administrator reads is what the agent does."""

import re
from pathlib import Path

from agent import settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_with_its_default() -> None:
    """A variable without a line in docs/agent.md, or a line without a variable, is an error."""
    text = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\| `[A-Z_]+`", line)]
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row[1])}

    assert documented == {variable.name for variable in settings._VARIABLES} | {"AGENT_CONFIG"}


def test_the_example_sets_only_what_the_agent_knows() -> None:
    """The agent does not see a misspelt variable, so the example must not have one."""
    text = (ROOT / "docs" / "examples" / "compose.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"^ {6}([A-Z_]+):", text, re.MULTILINE))
    known = {variable.name for variable in settings._VARIABLES}
    secret = {f"{variable.name}_FILE" for variable in settings._VARIABLES if variable.secret}

    assert {"CUSTOMER_ID", "MQTT_HOST"} <= named
    assert named <= known | secret


def test_the_image_sets_only_what_the_agent_knows() -> None:
    """Paths and addresses of the image reach the settings under their names."""
    text = (ROOT / "agent" / "Dockerfile").read_text(encoding="utf-8")
    named = set(re.findall(r"([A-Z_]+)=[^=]", text[text.index("ENV ") : text.index("EXPOSE")]))

    assert {"JOURNAL_PATH", "HEALTH_ADDRESS"} <= named
    assert named <= {v.name for v in settings._VARIABLES} | {"MALLOC_ARENA_MAX", "PYTHONDONTWRITEBYTECODE"}
