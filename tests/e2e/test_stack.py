"""The stack as it is deployed: its gateway, its roles, its layers, and how it ends."""

import importlib.util
import json
import shutil
import socket
import subprocess
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import httpx
import pytest
from botocore.exceptions import ClientError

from local.environment import REPOSITORY
from local.stack.access import Stack
from local.stack.ministack import PROGRAMS, StackError, is_running
from local.stack.running import StackSettings, attach, bring_down, read, running_stack

# Who writes what, with a partition that the function may write (see docs/storage.md#tables).
MAY_WRITE = {
    "authorizer": {},
    "ingest": {"reports": "probe", "markers": "dirty#probe"},
    "aggregate": {"customers": "probe", "markers": "unsent#probe", "hours": "probe"},
    "stripe_report": {"customers": "probe", "markers": "unsent#probe", "ledger": "probe"},
    "usage_query": {},
}
FUNCTIONS = list(MAY_WRITE)


def _put(stack: Stack, function: str, table: str, partition: str) -> bool:
    """Put an item with the rights of a function's role; whether IAM let it."""
    dynamodb = stack.client("dynamodb", acting_as=function)
    key = {"pk": {"S": partition}, "sk": {"S": "probe"}}
    try:
        dynamodb.put_item(TableName=stack.tables[table], Item=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return False
    stack.client("dynamodb").delete_item(TableName=stack.tables[table], Key=key)
    return True


def _status(stack: Stack, method: str, path: str, headers: dict[str, str]) -> int:
    with httpx.Client(trust_env=False, timeout=30) as client:
        return client.request(method, stack.api_url + path, headers=headers).status_code


def _routes(stack: Stack) -> list[str]:
    api_id = stack.api_url.rpartition("/")[2]
    return [row["RouteKey"] for row in stack.client("apigatewayv2").get_routes(ApiId=api_id)["Items"]]


def test_credentials(stack: Stack) -> None:
    """Every route refuses a caller without a credential (401) and one with a false one (403)."""
    routes = _routes(stack)
    assert "POST /api/usage/report" in routes
    for route in routes:
        method, path = route.split(" ")
        assert _status(stack, method, path, {}) == 401
        assert _status(stack, method, path, {"Authorization": "Bearer zmf_nobody.default.false"}) == 403


@pytest.mark.parametrize("function", FUNCTIONS)
def test_roles_write(stack: Stack, function: str) -> None:
    """A function's role writes the tables that storage gives it and is refused every other, by IAM itself."""
    allowed = MAY_WRITE[function]
    written = {table for table in stack.tables if _put(stack, function, table, allowed.get(table, "probe"))}
    assert set(allowed) == written


@pytest.mark.parametrize("function", FUNCTIONS)
def test_roles_never_scan(stack: Stack, function: str) -> None:
    """No function's role scans a table."""
    dynamodb = stack.client("dynamodb", acting_as=function)
    for table in stack.tables.values():
        with pytest.raises(ClientError, match="not authorized to perform: dynamodb:Scan"):
            dynamodb.scan(TableName=table)


def test_shared_package(stack: Stack) -> None:
    """Functions find the shared package in their layer: the interpreter that they run on has no such one."""
    search = "import importlib.util, sys; sys.exit(importlib.util.find_spec('metering') is not None)"
    found = subprocess.run([PROGRAMS / "python3.13", "-c", search], cwd=stack.folder / "tmp", check=False)
    assert found.returncode == 0
    assert stack.invoke("aggregate", {"task": "dispatch"}) == {"sent": 0}


@pytest.mark.parametrize("layer", ["MeteringLayer", "StripeLayer"])
def test_byte_code(stack: Stack, layer: str) -> None:
    """Every module of a layer ships byte code that is never checked against its source.

    Flags 1 in its header say so: by hash, unchecked (PEP 552); times would not survive the zip.
    """
    sources = list((stack.folder / "build" / layer / "python").rglob("*.py"))
    assert sources
    for source in sources:
        compiled = Path(importlib.util.cache_from_source(str(source)))
        header = compiled.read_bytes()[:8]
        assert MAGIC_NUMBER + (1).to_bytes(4, "little") == header, source


def test_attach(stack: Stack) -> None:
    """Another program finds the stack in its folder."""
    assert stack == attach(stack.folder)


def test_port_in_use(tmp_path: Path) -> None:
    """A port in use is named, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(StackError, match=f"port {port} "),
            running_stack(tmp_path, StackSettings(port=port)),
        ):
            pass
    assert read(tmp_path) is None


def test_foreign_stripe(tmp_path: Path) -> None:
    """A Stripe address that is not on this machine is refused, so that no test reaches Stripe's own."""
    with (
        pytest.raises(StackError, match="not on this machine"),
        running_stack(tmp_path, StackSettings(stripe_api_base="https://api.stripe.com")),
    ):
        pass
    assert read(tmp_path) is None


def test_failed_deploy(tmp_path: Path) -> None:
    """A failed deploy names the resource and leaves nothing running."""
    tree, folder = tmp_path / "tree", tmp_path / "stack"
    tree.mkdir()
    shutil.copy(REPOSITORY / "samconfig.toml", tree)
    names = ("Stage", "Architecture", "Schedules", "StripeApiBase", "ReportEverySeconds")
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Parameters": {name: {"Type": "String"} for name in names},
        "Resources": {"Wrong": {"Type": "AWS::SQS::Queue", "Properties": {"MessageRetentionPeriod": 5}}},
    }
    (tree / "template.yaml").write_text(json.dumps(template))
    started = []

    def remember(_line: str) -> None:
        started.append(read(folder))

    with (
        pytest.raises(StackError, match="Wrong: "),
        running_stack(folder, StackSettings(tree=tree), remember),
    ):
        pass
    assert started[0] is not None
    assert not is_running(started[0])
    assert not bring_down(folder)
