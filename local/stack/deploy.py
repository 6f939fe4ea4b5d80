"""Deploys the real template to the emulator with the real ``sam build`` and ``sam deploy``."""

import json
import os
import platform
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.environment import REPOSITORY, scrubbed
from local.stack.ministack import ADMINISTRATOR, REGION, StackError, tool_path
from local.stack.permissions import allow_batches
from local.stack.routes import add_routes

STACK_NAME = "zemfyre-billing-local"
_SAM = REPOSITORY / ".tools" / "sam" / "bin" / "sam"
_TABLES = ("customers", "reports", "markers", "hours", "ledger", "audit")
_ACCOUNT = "000000000000"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a deploy made, by the names that the code uses."""

    api_url: str
    tables: dict[str, str]
    """Table name by concern: customers, reports, markers, hours, ledger, audit."""
    functions: dict[str, str]
    """Function name by folder: authorizer, ingest, aggregate, stripe_report, usage_query."""
    log_groups: dict[str, str]
    """Log group by function folder."""
    outputs: dict[str, str]
    """The template's outputs as they are."""


def architecture() -> str:
    """Return the machine's architecture as Lambda calls it.

    Raises
    ------
    StackError
        Lambda has none such.
    """
    machine = platform.machine().lower()
    names = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
    if machine not in names:
        raise StackError(f"functions run on x86_64 or arm64, and this machine is {machine}")
    return names[machine]


def build(tree: Path, folder: Path) -> None:
    """``sam build`` of the tree's template into ``folder/build``, for this machine's architecture."""
    _sam(
        ["build", "--template-file", str(tree / "template.yaml"), "--build-dir", str(folder / "build")],
        tree,
        folder,
        {"LAMBDA_ARCH": architecture()},
    )


def deploy(tree: Path, folder: Path, endpoint: str, parameters: Mapping[str, str]) -> None:
    """``sam deploy`` of what was built to the emulator.

    Raises
    ------
    StackError
        It failed; the text names the first resource that could not be made and why.
    """
    given = {"Stage": "local", "Architecture": architecture()} | dict(parameters)
    overrides = [f"{name}={value}" for name, value in given.items()]
    _sam(
        [
            "deploy",
            "--config-file",
            str(tree / "samconfig.toml"),
            "--config-env",
            "local",
            "--template-file",
            str(folder / "build" / "template.yaml"),
            "--parameter-overrides",
            *overrides,
        ],
        tree,
        folder,
        {"AWS_ENDPOINT_URL": endpoint},
    )


def finish(client: Callable[[str], Any], endpoint: str, stripe_api_key: str) -> Deployment:
    """Do what the template leaves to others: what the emulator lacks, and the Stripe key's value.

    ``client`` gives an administrator's client of a service.
    """
    cloudformation = client("cloudformation")
    template = cloudformation.get_template(StackName=STACK_NAME, TemplateStage="Processed")["TemplateBody"]
    resources: dict[str, Any] = (json.loads(template) if isinstance(template, str) else template)["Resources"]
    made = {
        row["LogicalResourceId"]: row["PhysicalResourceId"]
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK_NAME)
        for row in page["StackResourceSummaries"]
    }
    names = _of_type(resources, "AWS::Lambda::Function")
    folders = {name: str(resources[name]["Properties"]["Handler"]).split(".")[0] for name in names}
    # Routes call the functions' aliases, whose physical ids are their ARNs.
    arns = {name: made[name] for name in _of_type(resources, "AWS::Lambda::Alias")}
    (api,) = _of_type(resources, "AWS::ApiGatewayV2::Api")
    add_routes(
        client("apigatewayv2"),
        made[api],
        resources[api]["Properties"]["Body"],
        arns | {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": _ACCOUNT},
    )
    allow_batches(client("iam"), (made[name] for name in _of_type(resources, "AWS::IAM::Role")))
    (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
    outputs = {row["OutputKey"]: row["OutputValue"] for row in stack["Outputs"]}
    client("secretsmanager").put_secret_value(
        SecretId=outputs["StripeSecretName"], SecretString=stripe_api_key
    )
    return Deployment(
        api_url=f"{endpoint}/_aws/execute-api/{made[api]}",
        tables={name: outputs[f"{name.title()}Table"] for name in _TABLES},
        functions={folders[name]: made[name] for name in names},
        log_groups={
            folders[name]: made[resources[name]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]]
            for name in names
        },
        outputs=outputs,
    )


def first_failure(cloudformation: Any) -> str:
    """Return the first resource that could not be made and why; empty when the emulator does not know."""
    if not cloudformation.describe_stacks()["Stacks"]:
        return ""
    events = cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    if not failed:
        return ""
    earliest = min(failed, key=lambda event: event["Timestamp"])
    return f"{earliest['LogicalResourceId']}: {earliest.get('ResourceStatusReason', 'no reason given')}"


def _of_type(resources: Mapping[str, Any], kind: str) -> list[str]:
    return [name for name, resource in resources.items() if resource["Type"] == kind]


def _sam(arguments: Sequence[str], tree: Path, folder: Path, extra: Mapping[str, str]) -> None:
    """Run sam with its output in the folder, and nothing of the caller's accounts, profiles or settings."""
    if not _SAM.exists():
        raise StackError("sam is not installed in .tools/sam: run `make setup`")
    environment = scrubbed(
        ADMINISTRATOR
        | {
            "PATH": tool_path(),
            "SAM_CLI_TELEMETRY": "0",
            # Seconds between its questions whether the stack is there; made for AWS, it would wait 5.
            "SAM_CLI_POLL_DELAY": "0.5",
            "__SAM_CLI_APP_DIR": str(folder / "sam"),
        }
        | dict(extra)
    )
    log = folder / f"sam-{arguments[0]}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [_SAM, *arguments],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait()
        except BaseException:
            # Interrupted: what sam started (make, pip) goes with it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if status != 0:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("Error:")]
        reason = said[-1].removeprefix("Error:").strip() if said else f"status {status}"
        raise StackError(f"sam {arguments[0]} failed: {reason} (the whole log is {log})")
