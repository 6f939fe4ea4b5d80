"""What CloudFormation's two transforms make of the template, by SAM's own implementations of them.

A program for SAM's environment, which the tests' one does not hold. Reads ``{"template": text, "parameters":
{name: value}}`` from its input, writes the processed template as JSON.
"""

import json
import sys
from typing import Any

from samcli.lib.cfn_language_extensions import process_template_for_sam_cli  # type: ignore[import-not-found]
from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]
from samtranslator.translator.transform import transform  # type: ignore[import-not-found]


class _NoManagedPolicies:
    """Roles name none, so none need be asked for."""

    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    """Process one template."""
    asked = json.load(sys.stdin)
    template: dict[str, Any] = yaml_parse(asked["template"])
    # CloudFormation gives the transforms the parameters' defaults as well.
    given = {name: row["Default"] for name, row in template["Parameters"].items() if "Default" in row}
    given |= asked["parameters"]
    # In the template's order: language extensions first, which put the parameters' values in.
    assert template["Transform"] == ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"]
    template = process_template_for_sam_cli(template, given)
    json.dump(transform(template, given, _NoManagedPolicies()), sys.stdout)


if __name__ == "__main__":
    main()
