"""The processed template of prod as a checker of templates reads it."""

import json
import subprocess
from pathlib import Path

from local.environment import REPOSITORY, scrubbed
from tests.template.conftest import Processing


def test_checkov_finds_nothing(processing: Processing, tmp_path: Path) -> None:
    """Whatever checkov knows to be unsafe is not there, but for what `.checkov.yaml` gives a reason for."""
    template = tmp_path / "template.json"
    template.write_text(json.dumps(processing(Stage="prod", AlarmEmail="operator@zemfyre.example")))
    program, settings = REPOSITORY / ".tools/checkov/bin/checkov", REPOSITORY / ".checkov.yaml"
    ended = subprocess.run(
        [program, "--config-file", settings, "--file", template, "--output", "json"],
        env=scrubbed({"AWS_DEFAULT_REGION": "us-east-1"}),
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.stdout, ended.stderr
    found = json.loads(ended.stdout)
    failed = [f"{row['check_id']} {row['resource']}" for row in found["results"]["failed_checks"]]
    assert [] == failed
    assert 0 == found["summary"]["parsing_errors"]
    assert found["summary"]["passed"] > 100
