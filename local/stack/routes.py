"""Gives the emulated HTTP API the authorizer, integrations and routes of the template.

The emulator makes an API from the template but ignores its OpenAPI ``Body``, in which SAM writes the events
of the functions. So we read that body from the processed template and make the same things one by one.
"""

import re
from collections.abc import Mapping
from typing import Any

_REFERENCE = re.compile(r"\$\{([^}]+)\}")
_INTEGRATION = "x-amazon-apigateway-integration"
_AUTHORIZER = "x-amazon-apigateway-authorizer"


def add_routes(gateway: Any, api_id: str, body: Mapping[str, Any], values: Mapping[str, str]) -> list[str]:
    """Make every authorizer and route of an HTTP API's OpenAPI body; return the route keys.

    ``gateway`` is an ``apigatewayv2`` client; ``values`` gives what ``${...}`` means in the body's addresses
    (``IngestFunctionAliaslive``, ``AWS::Region``, …).
    """
    schemes = body.get("components", {}).get("securitySchemes", {})
    authorizers = {
        name: _make_authorizer(gateway, api_id, name, scheme[_AUTHORIZER], values)
        for name, scheme in schemes.items()
    }
    keys = []
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            integration = operation[_INTEGRATION]
            made = gateway.create_integration(
                ApiId=api_id,
                IntegrationType="AWS_PROXY",
                IntegrationMethod=integration["httpMethod"],
                IntegrationUri=_resolved(integration["uri"], values),
                PayloadFormatVersion=integration["payloadFormatVersion"],
            )
            key = f"{method.upper()} {path}"
            security = [name for rule in operation.get("security", []) for name in rule]
            protection = (
                {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizers[security[0]]} if security else {}
            )
            gateway.create_route(
                ApiId=api_id, RouteKey=key, Target=f"integrations/{made['IntegrationId']}", **protection
            )
            keys.append(key)
    return keys


def _make_authorizer(
    gateway: Any, api_id: str, name: str, scheme: Mapping[str, Any], values: Mapping[str, str]
) -> str:
    made = gateway.create_authorizer(
        ApiId=api_id,
        Name=name,
        AuthorizerType="REQUEST",
        AuthorizerUri=_resolved(scheme["authorizerUri"], values),
        AuthorizerPayloadFormatVersion=scheme["authorizerPayloadFormatVersion"],
        AuthorizerResultTtlInSeconds=scheme["authorizerResultTtlInSeconds"],
        EnableSimpleResponses=scheme["enableSimpleResponses"],
        IdentitySource=scheme["identitySource"],
    )
    return str(made["AuthorizerId"])


def _resolved(address: Mapping[str, Any], values: Mapping[str, str]) -> str:
    """What ``Fn::Sub`` stands for, in its short form or with names of its own."""
    match address["Fn::Sub"]:
        case [text, names]:
            known = {name: values[_named(reference)] for name, reference in names.items()}
        case text:
            known = {}
    return _REFERENCE.sub(lambda reference: known.get(reference[1]) or values[reference[1]], text)


def _named(reference: Mapping[str, Any]) -> str:
    """The name of what ``Ref`` or ``Fn::GetAtt`` refer to, as ``Fn::Sub`` writes it."""
    return str(reference["Ref"]) if "Ref" in reference else ".".join(reference["Fn::GetAtt"])
