"""A deployed stack, and an administrator's way into it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from local.stack.deploy import Deployment
from local.stack.ministack import ADMINISTRATOR, REGION, Emulator


class InvocationFailedError(RuntimeError):
    """A function ended with an error; the text carries its message and the end of its log."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed local stack, and an administrator's way into it."""

    folder: Path
    emulator: Emulator
    deployment: Deployment

    @property
    def endpoint(self) -> str:
        """The emulator's address, for every AWS service."""
        return self.emulator.endpoint

    @property
    def api_url(self) -> str:
        """The HTTP API's address; a route's path is appended as it is."""
        return self.deployment.api_url

    @property
    def tables(self) -> dict[str, str]:
        """Table name by concern: customers, reports, markers, hours, ledger, audit."""
        return self.deployment.tables

    def client(self, service: str, *, acting_as: str | None = None) -> Any:
        """Return a boto3 client with the administrator's rights, or with those of a function's role."""
        if acting_as is None:
            return administrator(self.endpoint, service)
        function = self.client("lambda").get_function_configuration(
            FunctionName=self.deployment.functions[acting_as]
        )
        session = self.client("sts").assume_role(RoleArn=function["Role"], RoleSessionName=acting_as)
        keys = session["Credentials"]
        return _client(
            self.endpoint, service, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]
        )

    def environment(self) -> dict[str, str]:
        """Return the AWS variables for a program of ours that works on this stack as its administrator."""
        return ADMINISTRATOR | {"AWS_ENDPOINT_URL": self.endpoint}

    def invoke(self, function: str, payload: Mapping[str, Any]) -> Any:
        """Invoke a function by its folder's name, as its schedule would, and return its answer.

        Raises
        ------
        InvocationFailedError
            The function raised, or could not be started.
        """
        answer = self.client("lambda").invoke(
            FunctionName=self.deployment.functions[function],
            Qualifier="live",
            Payload=json.dumps(payload).encode(),
        )
        text = answer["Payload"].read().decode()
        if "FunctionError" in answer:
            raise InvocationFailedError(f"{function} failed: {text}\n{self.logs(function)[-4000:]}")
        return json.loads(text) if text else None

    def logs(self, function: str) -> str:
        """Return everything a function has logged, in order of time."""
        pages = self.client("logs").get_paginator("filter_log_events")
        events = [
            event
            for page in pages.paginate(logGroupName=self.deployment.log_groups[function])
            for event in page["events"]
        ]
        return "\n".join(
            event["message"].rstrip("\n") for event in sorted(events, key=lambda e: e["timestamp"])
        )


def administrator(endpoint: str, service: str) -> Any:
    """Return a boto3 client for the emulator with the rights of its account's root."""
    return _client(
        endpoint, service, ADMINISTRATOR["AWS_ACCESS_KEY_ID"], ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"]
    )


def _client(endpoint: str, service: str, key: str, secret: str, token: str | None = None) -> Any:
    """Make a client that reads no profile, file or variable of the caller."""
    session = botocore.session.Session(
        # Each: name in a profile, name in the environment, default, conversion.
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
    )
    return boto3.Session(botocore_session=session).client(
        service,  # type: ignore[call-overload]  # any service, by a name known at run time
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(connect_timeout=5, read_timeout=330, retries={"total_max_attempts": 1}, proxies={}),
    )
