"""The deployment's template as it is written, with CloudFormation's short forms."""

from pathlib import Path
from typing import Any

import yaml

TEMPLATE_FILE = Path(__file__).resolve().parents[1] / "template.yaml"


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".")
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _short_form)


def read_template() -> dict[str, Any]:
    """Return the template, with ``!GetAtt A.b`` as ``{"Fn::GetAtt": ["A", "b"]}`` and so on."""
    template: dict[str, Any] = yaml.load(TEMPLATE_FILE.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    return template
