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
from local.ministack import PROGRAMS, StackError, is_running
from local.stack import Stack, attach, bring_down, read, running_stack

# Design page "storage": who writes what, with a partition that the function may write.
MAY_WRITE = {
    "authorizer": {},
    "ingest": {"reports": "probe", "markers": "dirty#probe"},
    "aggregate": {"customers": "probe", "markers": "unsent#probe", "hours": "probe"},
    "stripe_report": {"customers": "probe", "ledger": "probe"},
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


def test_every_route_refuses_a_caller_without_a_credential_and_one_with_a_false_one(stack: Stack) -> None:
    """The gateway answers 401 when there is none, and 403 when the authorizer says no."""
    routes = _routes(stack)
    assert "POST /api/usage/report" in routes
    for route in routes:
        method, path = route.split(" ")
        assert 401 == _status(stack, method, path, {})
        assert 403 == _status(stack, method, path, {"Authorization": "Bearer zmf_nobody.default.false"})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_role_writes_the_tables_that_storage_gives_it_and_is_refused_every_other(
    stack: Stack, function: str
) -> None:
    """IAM itself is asked, with a session of the deployed role."""
    allowed = MAY_WRITE[function]
    written = {table for table in stack.tables if _put(stack, function, table, allowed.get(table, "probe"))}
    assert set(allowed) == written


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_functions_role_scans_a_table(stack: Stack, function: str) -> None:
    dynamodb = stack.client("dynamodb", acting_as=function)
    for table in stack.tables.values():
        with pytest.raises(ClientError, match="not authorized to perform: dynamodb:Scan"):
            dynamodb.scan(TableName=table)


def test_functions_find_the_shared_package_in_their_layer_and_nowhere_else(stack: Stack) -> None:
    """The emulator's own interpreter, which the functions run on, has no such package."""
    search = "import importlib.util, sys; sys.exit(importlib.util.find_spec('metering') is not None)"
    found = subprocess.run([PROGRAMS / "python3.13", "-c", search], cwd=stack.folder / "tmp", check=False)
    assert 0 == found.returncode
    assert {"sent": 0} == stack.invoke("aggregate", {"task": "dispatch"})


@pytest.mark.parametrize("layer", ["MeteringLayer", "StripeLayer"])
def test_every_module_of_a_layer_ships_byte_code_that_is_never_checked_against_its_source(
    stack: Stack, layer: str
) -> None:
    """Flags 1 in a .pyc's header: by hash, unchecked (PEP 552); times would not survive the zip."""
    sources = list((stack.folder / "build" / layer / "python").rglob("*.py"))
    assert sources
    for source in sources:
        compiled = Path(importlib.util.cache_from_source(str(source)))
        header = compiled.read_bytes()[:8]
        assert MAGIC_NUMBER + (1).to_bytes(4, "little") == header, source


def test_another_program_finds_the_stack_in_its_folder(stack: Stack) -> None:
    assert stack == attach(stack.folder)


def test_a_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} "), running_stack(tmp_path, port=port):
            pass
    assert read(tmp_path) is None


def test_a_stripe_that_is_not_on_this_machine_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(StackError, match="not on this machine"),
        running_stack(tmp_path, stripe_api_base="https://api.stripe.com"),
    ):
        pass
    assert read(tmp_path) is None


def test_a_failed_deploy_names_the_resource_and_leaves_nothing_running(tmp_path: Path) -> None:
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

    with pytest.raises(StackError, match="Wrong: "), running_stack(folder, tree=tree, progress=remember):
        pass
    assert started[0] is not None
    assert not is_running(started[0])
    assert not bring_down(folder)
