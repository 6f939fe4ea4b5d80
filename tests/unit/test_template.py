"""What the deployment must always be, read from the template as it is written."""

from pathlib import Path
from typing import Any

import pytest
import yaml

_TREE = Path(__file__).resolve().parents[2]

# Design page "storage", the table of tables. Reading is an upper bound: ingest may read no table at all.
WRITERS = {
    "CustomersTable": {"aggregate", "stripe_report"},
    "ReportsTable": {"ingest"},
    "MarkersTable": {"ingest", "aggregate", "stripe_report"},
    "HoursTable": {"aggregate"},
    "LedgerTable": {"stripe_report"},
}
READERS = {
    "CustomersTable": {"authorizer", "ingest", "aggregate", "stripe_report", "usage_query"},
    "ReportsTable": {"aggregate", "usage_query"},
    "MarkersTable": {"aggregate", "usage_query", "stripe_report"},
    "HoursTable": {"aggregate", "usage_query", "stripe_report"},
    "LedgerTable": {"stripe_report", "usage_query", "aggregate"},
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


def test_the_template_deploys_the_five_functions_of_the_architecture() -> None:
    assert {"authorizer", "ingest", "aggregate", "stripe_report", "usage_query"} == set(FUNCTIONS)


@pytest.mark.parametrize("table", WRITERS)
def test_a_table_is_written_by_the_functions_that_storage_gives_it_and_no_other(table: str) -> None:
    assert WRITERS[table] == {name for name in FUNCTIONS if table in _tables(name, _WRITES)}


@pytest.mark.parametrize("table", READERS)
def test_a_table_is_read_by_no_function_that_storage_does_not_name(table: str) -> None:
    assert set() == {name for name in FUNCTIONS if table in _tables(name, _READS)} - READERS[table]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_has_single_item_and_query_actions_on_whole_tables_and_never_a_scan(function: str) -> None:
    for row in _statements(function):
        actions = [action for action in _list(row["Action"]) if action.startswith("dynamodb:")]
        assert set() == set(actions) - _READS - _WRITES
        if actions:
            assert all(set(TABLES) >= {resource["Fn::GetAtt"][0]} for resource in _list(row["Resource"]))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_has_no_wildcard_action_and_no_wildcard_resource(function: str) -> None:
    for row in _statements(function):
        assert not any("*" in action for action in _list(row["Action"]))
        assert "*" not in _list(row["Resource"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_is_the_functions_own_and_carries_its_statements_inline(function: str) -> None:
    """SAM adds managed policies with wildcards to the roles that it makes itself."""
    roles = [row["Role"]["Fn::GetAtt"][0] for row in FUNCTIONS.values()]
    own = FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]
    assert 1 == roles.count(own)
    assert "Policies" not in FUNCTIONS[function]
    assert "ManagedPolicyArns" not in RESOURCES[own]["Properties"]


def test_ingest_reaches_the_dirty_markers_alone_and_stripe_report_clears_the_unsent_ones_alone() -> None:
    keys = {
        name: [
            row["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
            for row in _statements(name)
            if _WRITES & set(_list(row["Action"])) and row["Resource"]["Fn::GetAtt"][0] == "MarkersTable"
        ]
        for name in ("ingest", "stripe_report")
    }
    assert {"ingest": [["dirty#*"]], "stripe_report": [["unsent#*"]]} == keys


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_knows_the_names_of_exactly_the_tables_that_its_role_reaches(function: str) -> None:
    variables = FUNCTIONS[function]["Environment"]["Variables"]
    named = {value["Ref"] for name, value in variables.items() if name.endswith("_TABLE")}
    assert _tables(function, _READS | _WRITES) == named


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_logs_json_to_a_group_of_the_template_with_a_retention(function: str) -> None:
    logging = FUNCTIONS[function]["LoggingConfig"]
    group = RESOURCES[logging["LogGroup"]["Ref"]]
    assert "JSON" == logging["LogFormat"]
    assert "AWS::Logs::LogGroup" == group["Type"]
    assert {"Ref": "LogRetentionDays"} == group["Properties"]["RetentionInDays"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_errors_and_throttles_reach_the_operator(function: str) -> None:
    (name,) = [name for name, row in RESOURCES.items() if row.get("Properties") is FUNCTIONS[function]]
    assert _alarmed("Errors", name)
    assert _alarmed("Throttles", name)


@pytest.mark.parametrize("queue", [name for name in QUEUES if "RedrivePolicy" in QUEUES[name]])
def test_a_queue_is_fifo_at_high_throughput_with_dead_letters_that_reach_the_operator(queue: str) -> None:
    dead = QUEUES[queue]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert QUEUES[queue]["FifoQueue"] is QUEUES[dead]["FifoQueue"] is True
    assert "messageGroup" == QUEUES[queue]["DeduplicationScope"]
    assert "perMessageGroupId" == QUEUES[queue]["FifoThroughputLimit"]
    assert _alarmed("ApproximateNumberOfMessagesVisible", dead)


def test_every_queue_is_a_work_queue_or_the_dead_letters_of_one() -> None:
    dead = {
        row["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for row in QUEUES.values()
        if "RedrivePolicy" in row
    }
    assert dead == {name for name, row in QUEUES.items() if "RedrivePolicy" not in row}


@pytest.mark.parametrize("function", ["aggregate", "stripe_report"])
def test_a_worker_reports_single_failures_and_has_six_timeouts_before_a_message_shows_again(
    function: str,
) -> None:
    """Six timeouts: AWS Lambda Developer Guide, "Using Lambda with Amazon SQS"."""
    (mapping,) = [row["Properties"] for row in FUNCTIONS[function]["Events"].values() if row["Type"] == "SQS"]
    queue = QUEUES[mapping["Queue"]["Fn::GetAtt"][0]]
    assert ["ReportBatchItemFailures"] == mapping["FunctionResponseTypes"]
    assert queue["VisibilityTimeout"] >= 6 * FUNCTIONS[function]["Timeout"]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_on_demand_keyed_by_pk_and_sk_recoverable_and_encrypted(table: str) -> None:
    row = TABLES[table]
    assert "PAY_PER_REQUEST" == row["BillingMode"]
    assert [("pk", "HASH"), ("sk", "RANGE")] == [
        (key["AttributeName"], key["KeyType"]) for key in row["KeySchema"]
    ]
    assert row["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert row["SSESpecification"]["SSEEnabled"]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_prod_is_protected_and_outlives_its_stack(table: str) -> None:
    kept = {"Fn::If": ["IsProd", "Retain", "Delete"]}
    assert {"Fn::If": ["IsProd", True, False]} == TABLES[table]["DeletionProtectionEnabled"]
    assert kept == RESOURCES[table]["DeletionPolicy"] == RESOURCES[table]["UpdateReplacePolicy"]


def test_reports_and_hours_expire_and_nothing_else_does() -> None:
    assert {"ReportsTable", "HoursTable"} == {
        name for name, row in TABLES.items() if row.get("TimeToLiveSpecification", {}).get("Enabled")
    }


def test_a_revoked_key_dies_within_five_minutes() -> None:
    (api,) = _of_type("AWS::Serverless::HttpApi").values()
    authorizer = api["Auth"]["Authorizers"][api["Auth"]["DefaultAuthorizer"]]
    assert {"Headers": ["Authorization"], "ReauthorizeEvery": 300} == authorizer["Identity"]


def test_every_schedule_can_be_switched_off_and_is_named_after_its_stack() -> None:
    schedules = [
        event["Properties"]
        for row in FUNCTIONS.values()
        for event in row.get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]
    assert schedules
    assert all(row["State"] == {"Ref": "Schedules"} and row["OmitName"] is True for row in schedules)


def test_a_deploy_needs_no_parameter() -> None:
    assert [] == [name for name, row in TEMPLATE["Parameters"].items() if "Default" not in row]
