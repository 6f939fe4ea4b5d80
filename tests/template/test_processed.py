"""What SAM's transform makes of the template is what a deploy hands to CloudFormation."""

import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.template.conftest import Processed, Processing

_DOMAIN = {"ApiDomainName": "api.example.com", "ApiCertificateArn": "arn:aws:acm:us-east-1:1:certificate/1"}


def _of_type(processed: Processed, kind: str) -> dict[str, Any]:
    return {name: row["Properties"] for name, row in processed["Resources"].items() if row["Type"] == kind}


def _definition(processed: Processed) -> dict[str, Any]:
    (api,) = _of_type(processed, "AWS::ApiGatewayV2::Api").values()
    body: dict[str, Any] = api["Body"]
    return body


def _plain(value: Any) -> Any:
    """Put something in place of what CloudFormation fills in."""
    match value:
        case dict() if len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::")):
            return "filled-in"
        case dict():
            return {name: _plain(part) for name, part in value.items()}
        case list():
            return [_plain(part) for part in value]
    return value


def _versions(processed: Processed) -> set[str]:
    return set(_of_type(processed, "AWS::Lambda::Version"))


@pytest.mark.parametrize("parameters", [{}, _DOMAIN, _DOMAIN | {"ApiOwnAddress": "DISABLED"}])
def test_the_api_is_valid_openapi(processing: Processing, parameters: dict[str, str]) -> None:
    """What API Gateway imports is a valid OpenAPI document, whatever the parameters are."""
    validate(_plain(_definition(processing(**parameters))))


def test_no_warning_fails_a_deploy(processing: Processing) -> None:
    """API Gateway warns of things that do no harm, and a warning must not end a deploy."""
    (api,) = _of_type(processing(), "AWS::ApiGatewayV2::Api").values()
    assert api.get("FailOnWarnings", False) is False


def test_routes(processing: Processing) -> None:
    """Every route asks the authorizer, and calls a function that API Gateway may call."""
    body = _definition(processing())
    routes = {
        f"{method.upper()} {path}": operation
        for path, methods in body["paths"].items()
        for method, operation in methods.items()
    }
    assert {
        "POST /api/usage/report",
        "GET /api/usage/whoami",
        "GET /api/usage/current-period/{customer_id}",
        "GET /api/billing/usage/current-period",
    } == set(routes)
    assert all(row["security"] == [{"CredentialAuthorizer": []}] for row in routes.values())


@pytest.mark.parametrize(
    ("parameters", "closes"),
    [
        ({}, False),
        ({"ApiOwnAddress": "DISABLED"}, False),
        (_DOMAIN, False),
        (_DOMAIN | {"ApiOwnAddress": "DISABLED"}, True),
    ],
    ids=["no domain", "no domain to close for", "a new domain", "a domain that answers"],
)
def test_the_own_address_closes_in_a_step_of_its_own(
    processing: Processing, parameters: dict[str, str], *, closes: bool
) -> None:
    """A deploy that makes the domain leaves the gateway's address open: DNS does not know the domain yet."""
    processed = processing(**parameters)
    (server,) = _definition(processed)["servers"]
    (configuration,) = (value for name, value in server.items() if name.startswith("x-amazon"))
    assert {"disableExecuteApiEndpoint": closes} == configuration
    assert processed["Outputs"]["ApiUrl"]["Value"] == (
        "https://api.example.com" if closes else {"Fn::GetAtt": ["Api", "ApiEndpoint"]}
    )


def test_the_domains_target_is_told(processing: Processing) -> None:
    """The outputs say where DNS has to point."""
    outputs = processing(**_DOMAIN)["Outputs"]
    assert {"Fn::GetAtt": ["ApiDomain", "RegionalDomainName"]} == outputs["ApiDomainTarget"]["Value"]
    assert {"Fn::GetAtt": ["ApiDomain", "RegionalHostedZoneId"]} == outputs["ApiDomainZoneId"]["Value"]


_FIVE = {"Authorizer", "Ingest", "Aggregate", "StripeReport", "UsageQuery"}


@pytest.mark.parametrize(
    ("changed", "functions"),
    [
        ({"code": "new"}, _FIVE),
        ({"layer": "new"}, _FIVE),
        ({"LogLevel": "DEBUG"}, _FIVE),
        ({"ReportEverySeconds": "600"}, {"Ingest", "UsageQuery"}),
        ({"AlertSenderName": "Zemfyre"}, {"Aggregate"}),
        ({"StripeApiBase": "https://stripe.example"}, {"StripeReport"}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_every_change_publishes_versions(
    processing: Processing, changed: dict[str, str], functions: set[str]
) -> None:
    """New code, a new layer and a new setting each make new versions: none runs with the others' old ones."""
    before, after = _versions(processing()), _versions(processing(**changed))
    assert 5 == len(before) == len(after)
    assert functions == {name.partition("FunctionVersion")[0] for name in after - before}


def test_callers_reach_published_versions(processing: Processing) -> None:
    """Gateway, schedules, queues and Stripe's events call the alias, not what is being changed."""
    processed = processing(StripeEventBus="bus")
    aliases = set(_of_type(processed, "AWS::Lambda::Alias"))
    assert {f"{name}FunctionAliaslive" for name in _FIVE} == aliases
    called = [
        _definition(processed),
        *_of_type(processed, "AWS::Scheduler::Schedule").values(),
        *_of_type(processed, "AWS::Lambda::EventSourceMapping").values(),
        *_of_type(processed, "AWS::Lambda::Permission").values(),
        *_of_type(processed, "AWS::Events::Rule").values(),
    ]
    # The API, six schedules, two queues, five callers that ask for a permission and Stripe's, its rule.
    assert 1 + 6 + 2 + 6 + 1 == len(called)
    for caller in called:
        assert "Aliaslive" in json.dumps(caller)
        assert not any(f'"{name}Function"' in json.dumps(caller) for name in _FIVE)
