"""The template as SAM processes it, as CloudFormation's transform does on a deploy."""

import json
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from local.environment import REPOSITORY

type Processed = dict[str, Any]
type Processing = Callable[..., Processed]
"""Takes parameters by name, ``code`` and ``layer`` as the addresses of what was uploaded."""


@cache
def _processed(code: str, layer: str, parameters: frozenset[tuple[str, str]]) -> Processed:
    # `sam package` puts the address of an upload where a folder was.
    text = (REPOSITORY / "template.yaml").read_text()
    text = re.sub(r"CodeUri: \S+", f"CodeUri: s3://uploads/{code}", text)
    text = re.sub(r"ContentUri: \S+", f"ContentUri: s3://uploads/{layer}", text)
    ended = subprocess.run(
        [REPOSITORY / ".tools/sam/bin/python", Path(__file__).with_name("transform.py")],
        input=json.dumps({"template": text, "parameters": dict(parameters)}),
        env={"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    answer: Processed = json.loads(ended.stdout)
    return answer


@pytest.fixture(scope="session")
def processing() -> Processing:
    """Process the template; ``code`` and ``layer`` name the uploads."""

    def process(*, code: str = "code", layer: str = "layer", **parameters: str) -> Processed:
        return _processed(code, layer, frozenset(parameters.items()))

    return process
