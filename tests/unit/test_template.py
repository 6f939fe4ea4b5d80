"""What the deployment must always be, read from the template as it is written."""

from pathlib import Path
from typing import Any

import pytest
import yaml

_TREE = Path(__file__).resolve().parents[2]

# The table of docs/storage.md#tables. Reading is an upper bound: not everyone need read all it may.
WRITERS = {
    "CustomersTable": {"aggregate", "stripe_report"},
    "ReportsTable": {"ingest"},
    "MarkersTable": {"ingest", "aggregate", "stripe_report"},
    "HoursTable": {"aggregate"},
    "LedgerTable": {"stripe_report"},
    "AuditTable": set(),
}
READERS = {
    "CustomersTable": {"authorizer", "ingest", "aggregate", "stripe_report", "usage_query"},
    "ReportsTable": {"aggregate", "usage_query"},
    "MarkersTable": {"aggregate", "usage_query", "stripe_report"},
    "HoursTable": {"aggregate", "usage_query", "stripe_report"},
    "LedgerTable": {"stripe_report", "usage_query", "aggregate"},
    "AuditTable": set(),
}
_READS = {"dynamodb:GetItem", "dynamodb:Query"}
_WRITES = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}

type Resource = dict[str, Any]


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
    return {name if name == "Ref" else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _short_form)

TEMPLATE: dict[str, Any] = yaml.load((_TREE / "template.yaml").read_text(), _Loader)  # noqa: S506 - a SafeLoader
RESOURCES: dict[str, Resource] = TEMPLATE["Resources"]


def _of_type(kind: str) -> dict[str, Resource]:
    return {name: row["Properties"] for name, row in RESOURCES.items() if row["Type"] == kind}


FUNCTIONS = {row["Handler"].split(".")[0]: row for row in _of_type("AWS::Serverless::Function").values()}
QUEUES = _of_type("AWS::SQS::Queue")
TABLES = _of_type("AWS::DynamoDB::Table")


def _statements(function: str) -> list[Resource]:
    """The statements of a function's role, those behind a condition included."""
    role = RESOURCES[FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]]["Properties"]
    rows = [row for policy in role["Policies"] for row in policy["PolicyDocument"]["Statement"]]
    return [row["Fn::If"][1] if "Fn::If" in row else row for row in rows]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _tables(function: str, actions: set[str]) -> set[str]:
    return {
        resource["Fn::GetAtt"][0]
        for row in _statements(function)
        if actions & set(_list(row["Action"]))
        for resource in _list(row["Resource"])
    }


def _alarmed(metric: str, name: str) -> bool:
    return any(
        alarm["MetricName"] == metric
        and name in str(alarm["Dimensions"])
        and alarm["AlarmActions"] == [{"Ref": "OperatorTopic"}]
        for alarm in _of_type("AWS::CloudWatch::Alarm").values()
    )


def test_five_functions() -> None:
    """The template deploys the five functions of the architecture."""
    assert {"authorizer", "ingest", "aggregate", "stripe_report", "usage_query"} == set(FUNCTIONS)


@pytest.mark.parametrize("table", WRITERS)
def test_writers_of_a_table(table: str) -> None:
    """A table is written by the functions that storage gives it, and by no other."""
    assert WRITERS[table] == {name for name in FUNCTIONS if table in _tables(name, _WRITES)}


@pytest.mark.parametrize("table", READERS)
def test_readers_of_a_table(table: str) -> None:
    """A table is read by no function that storage does not name."""
    assert set() == {name for name in FUNCTIONS if table in _tables(name, _READS)} - READERS[table]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_actions_on_tables(function: str) -> None:
    """A role reads and writes single items and queries, on tables named one by one, and never scans."""
    for row in _statements(function):
        actions = [action for action in _list(row["Action"]) if action.startswith("dynamodb:")]
        assert set() == set(actions) - _READS - _WRITES
        if actions:
            assert all(set(TABLES) >= {resource["Fn::GetAtt"][0]} for resource in _list(row["Resource"]))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_audit_table_is_append_only(function: str) -> None:
    """Where a role reaches the audit table it puts items, and does nothing else there."""
    for row in _statements(function):
        if "AuditTable" in str(row["Resource"]):
            assert ["dynamodb:PutItem"] == _list(row["Action"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_wildcards(function: str) -> None:
    """A role has no wildcard for an action, and not every resource."""
    for row in _statements(function):
        assert not any("*" in action for action in _list(row["Action"]))
        assert "*" not in _list(row["Resource"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_own_role(function: str) -> None:
    """A role belongs to one function and carries its statements inline.

    SAM adds managed policies with wildcards to the roles that it makes itself.
    """
    roles = [row["Role"]["Fn::GetAtt"][0] for row in FUNCTIONS.values()]
    own = FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]
    assert roles.count(own) == 1
    assert "Policies" not in FUNCTIONS[function]
    assert "ManagedPolicyArns" not in RESOURCES[own]["Properties"]


def test_marker_partitions() -> None:
    """Ingest puts dirty markers alone, and stripe_report clears unsent ones alone."""
    keys = {
        name: [
            row["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
            for row in _statements(name)
            if _WRITES & set(_list(row["Action"])) and row["Resource"]["Fn::GetAtt"][0] == "MarkersTable"
        ]
        for name in ("ingest", "stripe_report")
    }
    assert keys == {"ingest": [["dirty#*"]], "stripe_report": [["unsent#*"]]}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_known_tables(function: str) -> None:
    """A function knows the names of exactly the tables that its role reaches."""
    variables = FUNCTIONS[function]["Environment"]["Variables"]
    named = {value["Ref"] for name, value in variables.items() if name.endswith("_TABLE")}
    assert _tables(function, _READS | _WRITES) == named


@pytest.mark.parametrize("function", FUNCTIONS)
def test_log_groups(function: str) -> None:
    """A function logs JSON to a group of the template that keeps it for a given time."""
    logging = FUNCTIONS[function]["LoggingConfig"]
    group = RESOURCES[logging["LogGroup"]["Ref"]]
    assert logging["LogFormat"] == "JSON"
    assert group["Type"] == "AWS::Logs::LogGroup"
    assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_alarms(function: str) -> None:
    """A function's errors and throttles reach the operator."""
    (name,) = [name for name, row in RESOURCES.items() if row.get("Properties") is FUNCTIONS[function]]
    assert _alarmed("Errors", name)
    assert _alarmed("Throttles", name)


@pytest.mark.parametrize("queue", [name for name in QUEUES if "RedrivePolicy" in QUEUES[name]])
def test_work_queues(queue: str) -> None:
    """A queue is FIFO at high throughput, and its dead letters reach the operator."""
    dead = QUEUES[queue]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert QUEUES[queue]["FifoQueue"] is QUEUES[dead]["FifoQueue"] is True
    assert QUEUES[queue]["DeduplicationScope"] == "messageGroup"
    assert QUEUES[queue]["FifoThroughputLimit"] == "perMessageGroupId"
    assert _alarmed("ApproximateNumberOfMessagesVisible", dead)


def test_dead_letters() -> None:
    """Every queue is a work queue, or holds the dead letters of one."""
    dead = {
        row["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for row in QUEUES.values()
        if "RedrivePolicy" in row
    }
    assert dead == {name for name, row in QUEUES.items() if "RedrivePolicy" not in row}


@pytest.mark.parametrize("function", ["aggregate", "stripe_report"])
def test_workers(
    function: str,
) -> None:
    """A worker reports single failures, and a message hides for six of its timeouts before it shows again.

    Six: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS".
    """
    (mapping,) = [row["Properties"] for row in FUNCTIONS[function]["Events"].values() if row["Type"] == "SQS"]
    queue = QUEUES[mapping["Queue"]["Fn::GetAtt"][0]]
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert queue["VisibilityTimeout"] >= 6 * FUNCTIONS[function]["Timeout"]


@pytest.mark.parametrize("table", TABLES)
def test_tables(table: str) -> None:
    """A table is on demand, keyed by pk and sk, recoverable to a point in time, and encrypted."""
    row = TABLES[table]
    assert row["BillingMode"] == "PAY_PER_REQUEST"
    assert [(key["AttributeName"], key["KeyType"]) for key in row["KeySchema"]] == [
        ("pk", "HASH"),
        ("sk", "RANGE"),
    ]
    assert row["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert row["SSESpecification"]["SSEEnabled"]


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_prod(table: str) -> None:
    """A table of prod is protected from deletion and outlives its stack."""
    kept = {"Fn::If": ["IsProd", "Retain", "Delete"]}
    assert TABLES[table]["DeletionProtectionEnabled"] == {"Fn::If": ["IsProd", True, False]}
    assert kept == RESOURCES[table]["DeletionPolicy"] == RESOURCES[table]["UpdateReplacePolicy"]


def test_expiry() -> None:
    """Reports and hours expire, and of the Customers table its alerts (decision 6); nothing else does."""
    assert {"ReportsTable", "HoursTable", "CustomersTable"} == {
        name for name, row in TABLES.items() if row.get("TimeToLiveSpecification", {}).get("Enabled")
    }


def test_authorizer_cache() -> None:
    """A revoked key dies within five minutes: the authorizer's answers are kept no longer."""
    (api,) = _of_type("AWS::Serverless::HttpApi").values()
    authorizer = api["Auth"]["Authorizers"][api["Auth"]["DefaultAuthorizer"]]
    assert authorizer["Identity"] == {"Headers": ["Authorization"], "ReauthorizeEvery": 300}


def test_schedules() -> None:
    """Every schedule can be switched off, and is named after its stack so that two stages fit one account."""
    schedules = [
        event["Properties"]
        for row in FUNCTIONS.values()
        for event in row.get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]
    assert schedules
    assert all(row["State"] == {"Ref": "Schedules"} and row["OmitName"] is True for row in schedules)


def test_defaults() -> None:
    """A deploy needs no parameter."""
    assert [name for name, row in TEMPLATE["Parameters"].items() if "Default" not in row] == []


def test_conservation_alarm() -> None:
    """Usage that the daily sweep finds lost or made up reaches the operator."""
    assert _alarmed("conservation_difference", "aggregate")


@pytest.mark.parametrize(
    ("count", "function"),
    [
        ("subscription_differs", "stripe_report"),
        ("prices_exchanged", "stripe_report"),
        ("periods_missed", "stripe_report"),
        ("subscriptions_uncollected", "stripe_report"),
        ("subscriptions_competing", "stripe_report"),
        ("stripe_customers_deleted", "stripe_report"),
        ("stripe_refuses_reads", "stripe_report"),
        ("stripe_unavailable", "stripe_report"),
        ("usage_after_end", "aggregate"),
    ],
)
def test_changes_made_outside_are_alarmed(count: str, function: str) -> None:
    """What is only seen and not told is not seen."""
    assert _alarmed(count, function)


def test_settlement_alarm() -> None:
    """An invoice that appears after its period was settled reaches the operator."""
    assert _alarmed("invoice_after_settlement", "stripe_report")


def test_falls_are_alarmed() -> None:
    """A revision that lowers an amount, and an hour that falls, reach the operator."""
    assert _alarmed("regression", "ingest")
    assert _alarmed("hour_fell", "aggregate")


def test_alarms_are_written_once() -> None:
    """What the alarms of a kind have in common stands at one of them; the others take it over."""
    text = (_TREE / "template.yaml").read_text()
    assert len(_of_type("AWS::CloudWatch::Alarm")) > 30
    assert 1 == text.count("TreatMissingData: notBreaching")
    assert 1 == text.count("EvaluationPeriods: 1")
