"""What the deployment must always be, read from the template as it is written."""

import json
import logging
import re
from typing import Any

import pytest

from testing.template import TEMPLATE_FILE, read_template

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


TEMPLATE = read_template()
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
    """A table is on demand, keyed by pk and sk, recoverable to a point in time, and encrypted at no charge.

    Under a key of AWS's own, as every table is; any other makes KMS charge for the requests.
    """
    row = TABLES[table]
    assert row["BillingMode"] == "PAY_PER_REQUEST"
    assert [(key["AttributeName"], key["KeyType"]) for key in row["KeySchema"]] == [
        ("pk", "HASH"),
        ("sk", "RANGE"),
    ]
    assert row["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert "SSESpecification" not in row


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
    text = TEMPLATE_FILE.read_text()
    assert len(_of_type("AWS::CloudWatch::Alarm")) > 30
    assert 1 == text.count("TreatMissingData: notBreaching")
    assert 1 == text.count("EvaluationPeriods: 1")


PARAMETERS: dict[str, dict[str, Any]] = TEMPLATE["Parameters"]


def _events(kind: str) -> list[Resource]:
    return [
        event["Properties"]
        for row in FUNCTIONS.values()
        for event in row.get("Events", {}).values()
        if event["Type"] == kind
    ]


@pytest.mark.parametrize("secret", _of_type("AWS::SecretsManager::Secret"))
def test_a_failed_create_keeps_no_named_secret(secret: str) -> None:
    """Secrets of prod outlive their stack, but not a create that failed: the next one needs their names."""
    row = RESOURCES[secret]
    assert "Name" in row["Properties"]
    assert {"Fn::If": ["IsProd", "RetainExceptOnCreate", "Delete"]} == row["DeletionPolicy"]
    assert {"Fn::If": ["IsProd", "Retain", "Delete"]} == row["UpdateReplacePolicy"]


@pytest.mark.parametrize(
    ("function", "parameter", "most"), [("aggregate", "Aggregate", 1000), ("stripe_report", "Stripe", 5)]
)
def test_queues_are_worked_off_by_a_few(function: str, parameter: str, most: int) -> None:
    """A backlog takes no more of the account's concurrency than its mapping's maximum: 2 to 5 for Stripe."""
    (mapping,) = [row["Properties"] for row in FUNCTIONS[function]["Events"].values() if row["Type"] == "SQS"]
    name = f"{parameter}QueueConcurrency"
    assert {"MaximumConcurrency": {"Ref": name}} == mapping["ScalingConfig"]
    # Lambda takes 2 to 1,000.
    assert (2, most) == (PARAMETERS[name]["MinValue"], PARAMETERS[name]["MaxValue"])
    assert 2 <= PARAMETERS[name]["Default"] <= 5


def test_the_default_concurrencies_fit_a_new_account() -> None:
    """Of the ten invocations that a new account may run at once the queues leave some to the API."""
    taken = sum(PARAMETERS[f"{name}QueueConcurrency"]["Default"] for name in ("Aggregate", "Stripe"))
    assert taken < 10
    assert all(
        row["Default"] == 0 for name, row in PARAMETERS.items() if name.endswith("ReservedConcurrency")
    )


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("authorizer", "Authorizer"),
        ("ingest", "Ingest"),
        ("aggregate", "Aggregate"),
        ("stripe_report", "Stripe"),
    ],
)
def test_reservations(function: str, name: str) -> None:
    """Whoever must not be starved can be given concurrency of its own, the authorizer of every call too."""
    reserved = {"Fn::If": [f"Reserves{name}", {"Ref": f"{name}ReservedConcurrency"}, {"Ref": "AWS::NoValue"}]}
    assert reserved == FUNCTIONS[function]["ReservedConcurrentExecutions"]
    assert "Concurrency" in PARAMETERS[f"{name}ReservedConcurrency"]["Description"]


def test_what_a_new_account_allows_is_said() -> None:
    """The texts of the parameters tell that an account allows 10 to 1,000 invocations at once."""
    said = PARAMETERS["AuthorizerReservedConcurrency"]["Description"]
    assert "1,000" in said
    assert "10" in said
    assert "new account may run 10" in PARAMETERS["AggregateQueueConcurrency"]["Description"]


def test_routes_are_throttled() -> None:
    """One caller cannot take the account's concurrency: reports and pages each have a rate and a burst."""
    (api,) = _of_type("AWS::Serverless::HttpApi").values()

    def limits(parameter: str) -> dict[str, Any]:
        return {name: {"Ref": parameter} for name in ("ThrottlingRateLimit", "ThrottlingBurstLimit")}

    routes = {f"{row['Method']} {row['Path']}" for row in _events("HttpApi")}
    assert limits("PagesPerSecond") == api["DefaultRouteSettings"]
    assert {"POST /api/usage/report": limits("ReportsPerSecond")} == api["RouteSettings"]
    assert routes >= set(api["RouteSettings"])


@pytest.mark.parametrize("function", ["aggregate", "stripe_report"])
def test_scheduled_runs_are_not_made_up_for(function: str) -> None:
    """A scheduled run that failed is not repeated, and one that is minutes late is dropped."""
    once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 300}
    assert once == FUNCTIONS[function]["EventInvokeConfig"]
    schedules = [
        row["Properties"] for row in FUNCTIONS[function]["Events"].values() if row["Type"] == "ScheduleV2"
    ]
    assert [once] * 3 == [row["RetryPolicy"] for row in schedules]


_HEARTBEATS = {
    ("aggregate", "dispatch"): "dispatch_messages",
    ("aggregate", "sweep_hourly"): "sweep_hourly_messages",
    ("aggregate", "sweep_daily"): "sweep_daily_messages",
    ("stripe_report", "dispatch"): "unsent_customers",
    ("stripe_report", "close"): "closings_due",
    ("stripe_report", "reconcile"): "customers_to_reconcile",
}


def test_every_schedule_has_a_heartbeat() -> None:
    """The table of heartbeats has the tasks that the schedules ask for."""
    asked = {
        (function, json.loads(event["Properties"]["Input"])["task"])
        for function, row in FUNCTIONS.items()
        for event in row.get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    }
    assert set(_HEARTBEATS) == asked


@pytest.mark.parametrize("task", _HEARTBEATS, ids=":".join)
def test_what_must_happen_is_missed(task: tuple[str, str]) -> None:
    """What a schedule must start alarms when it did not, and no count at all is the worst of signs."""
    (alarm,) = [
        row
        for row in RESOURCES.values()
        if row["Type"] == "AWS::CloudWatch::Alarm"
        and row["Properties"]["MetricName"] == _HEARTBEATS[task]
        and row["Properties"]["Dimensions"] == [{"Name": "service", "Value": task[0]}]
    ]
    properties = alarm["Properties"]
    assert "SchedulesFire" == alarm["Condition"]
    assert ("SampleCount", "LessThanThreshold", 1, "breaching") == (
        properties["Statistic"],
        properties["ComparisonOperator"],
        properties["Threshold"],
        properties["TreatMissingData"],
    )
    # CloudWatch looks back over a week at most where the period is an hour or more, over a day otherwise.
    seconds = properties["Period"] * properties["EvaluationPeriods"]
    assert seconds <= (604_800 if properties["Period"] >= 3600 else 86_400)
    assert [{"Ref": "OperatorTopic"}] == properties["AlarmActions"]


def test_the_api_fails_loudly() -> None:
    """An answer of 5xx reaches the operator, whoever gave it."""
    assert _alarmed("5xx", "'Ref': 'Api'")


def test_prod_has_somebody_to_alarm() -> None:
    """A deploy of prod without an address for alarms is refused before anything is made."""
    (rule,) = TEMPLATE["Rules"].values()
    assert {"Fn::Equals": [{"Ref": "Stage"}, "prod"]} == rule["RuleCondition"]
    assert [{"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmEmail"}, ""]}]}] == [
        row["Assert"] for row in rule["Assertions"]
    ]


def test_layers_are_part_of_a_version() -> None:
    """SAM publishes a version for a new layer only where the layer says so."""
    layers = _of_type("AWS::Serverless::LayerVersion").values()
    assert all(row["PublishLambdaVersion"] is True for row in layers)
    assert all(row["AutoPublishAliasAllProperties"] is True for row in FUNCTIONS.values())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_log_level(function: str) -> None:
    """The log level is Lambda's own as well, which wins with JSON logs, in names that both understand."""
    assert {"Ref": "LogLevel"} == FUNCTIONS[function]["LoggingConfig"]["ApplicationLogLevel"]
    # Lambda has TRACE and FATAL too, Python has neither.
    assert {"DEBUG", "INFO", "WARN", "ERROR"} == set(PARAMETERS["LogLevel"]["AllowedValues"])
    assert all(name in logging.getLevelNamesMapping() for name in PARAMETERS["LogLevel"]["AllowedValues"])


# Amazon API Gateway Developer Guide, "Customize HTTP API access logs"; the two ids are our authorizer's.
_LOGGED = {
    "authorizer.customer_id",
    "authorizer.error",
    "authorizer.instance_id",
    "error.message",
    "error.messageString",
    "error.responseType",
    "extendedRequestId",
    "httpMethod",
    "identity.sourceIp",
    "identity.userAgent",
    "integration.error",
    "integration.integrationStatus",
    "integration.latency",
    "integration.requestId",
    "integration.status",
    "integrationErrorMessage",
    "integrationLatency",
    "integrationStatus",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "responseLatency",
    "responseLength",
    "routeKey",
    "stage",
    "status",
}


def test_access_log() -> None:
    """A line is one JSON object of variables that an HTTP API knows, a function's own failure among them."""
    (api,) = _of_type("AWS::Serverless::HttpApi").values()
    fields = json.loads(api["AccessLogSettings"]["Format"])
    assert set() == {value.removeprefix("$context.") for value in fields.values()} - _LOGGED
    assert "$context.integrationErrorMessage" in fields.values()


def test_a_sender_is_an_address_alone() -> None:
    """IAM compares the bare address, so a display name stands apart; a configuration set is allowed."""
    allowed = re.compile(PARAMETERS["AlertSender"]["AllowedPattern"])
    assert allowed.fullmatch("")
    assert allowed.fullmatch("billing@zemfyre.example")
    assert not allowed.fullmatch("Zemfyre <billing@zemfyre.example>")
    (sending,) = [row for row in _statements("aggregate") if "ses:SendEmail" in _list(row["Action"])]
    assert {"ses:FromAddress": {"Ref": "AlertSender"}} == sending["Condition"]["StringEquals"]
    assert {"identity/*", "configuration-set/*"} == {
        row["Fn::Sub"].rpartition(":")[2] for row in sending["Resource"]
    }
