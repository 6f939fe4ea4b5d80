"""The settings of the MQTT broker: ``[mosquitto]`` or ``MQTT_…``. Source: docs/agent-design.md#mosquitto."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, model_validator

from agent.section import RegisteredSource, Section, Variable


class MosquittoSettings(Section):
    """Where the MQTT broker is and who reads its ``$SYS`` topics.

    ``ca_file`` is a PEM file of the authority that signed the broker's certificate; the system's are used
    without it. Naming one switches TLS on.
    """

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    ca_file: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_under_tls(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        section = dict(given)
        if "ca_file" in section:
            section.setdefault("tls", True)
        if str(section.get("tls", "")).lower() in {"true", "1", "yes", "on"}:
            section.setdefault("port", 8883)
        return section

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.password is not None and self.username is None:
            raise ValueError("a password without a username; set MQTT_USERNAME")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"MQTT_CA_FILE: no such file: {self.ca_file}")
        return self


SOURCE = RegisteredSource(
    name="mosquitto",
    section=MosquittoSettings,
    variables=(
        Variable("MQTT_HOST", "host", "the broker; naming it enables the source"),
        Variable("MQTT_PORT", "port", "the broker's port", default="1883, with TLS 8883"),
        Variable("MQTT_USERNAME", "username", "the user that may subscribe to `$SYS/broker/#`"),
        Variable("MQTT_PASSWORD", "password", "that user's password", secret=True),
        Variable(
            "MQTT_TLS", "tls", "whether the broker is spoken to over TLS", "false; true with `MQTT_CA_FILE`"
        ),
        Variable(
            "MQTT_CA_FILE",
            "ca_file",
            "PEM file of the authority behind the broker's certificate",
            default="the system's",
        ),
    ),
    collector="agent.collectors.mosquitto.collector:MosquittoCollector",
    title="mosquitto",
    figures="bytes and messages in both directions, payload bytes, connections",
    needs="a user that may subscribe to `$SYS/broker/#`; `sys_interval` not 0",
)
