"""The agent's settings, from the environment and an optional TOML file, checked once at the start.

Every error is named at once with its fix. A value in the environment wins over the same one in the file that
``AGENT_CONFIG`` names; a secret ``X`` may also come from the file that ``X_FILE`` names. A source is enabled
by its settings being present. Source: docs/agent-design.md#configuration.

The TOML file has the same names in lower case: the agent's own at the top, those of a source in its table
(``[mosquitto]``), whose section stands beside the source's code. A source that is not part of this package is
a table
``[source.<name>]`` whose ``factory`` names a callable ``"package.module:callable"``; it is called with the
rest of that table, the clock and ``poll_seconds``, and returns a `Collector`.
"""

import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from agent.collectors.registry import SOURCES
from agent.section import Section, Variable
from metering.core.contract import Id

UNLICENSED = "unlicensed"
CONFIG = "AGENT_CONFIG"
"""The variable that names the TOML file."""


class PluginSettings(Section):
    """A source from outside this package: its factory and whatever else its table says."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)
    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]

    def options(self) -> dict[str, Any]:
        """The table without ``factory``, as the factory gets it."""
        return dict(self.model_extra or {})


class Settings(Section):
    """All settings of one agent.

    ``poll_seconds`` is the distance of two looks at a source, ``report_every_seconds`` the distance of two
    revisions of the open hour until the service tells another (it tells 60 to 3600; less is for demos).
    ``health_address`` is ``host:port``, or None for no health page. The section of each registered source is
    a field of what `checked` returns; `section` tells it.
    """

    customer_id: Id = UNLICENSED
    instance_id: Id = "default"
    billing_api_url: str | None = None
    instance_key: SecretStr | None = None
    former_instance_key: SecretStr | None = None
    billing_ca_file: Path | None = None
    billing_proxy: str | None = None
    journal_path: Path = Path("agent-journal.sqlite3")
    journal_max_megabytes: Annotated[int, Field(ge=1, le=1024)] = 64
    poll_seconds: Annotated[int, Field(ge=1, le=300)] = 15
    report_every_seconds: Annotated[int, Field(ge=1, le=3600)] = 900
    health_address: str | None = "127.0.0.1:9464"
    log_level: Annotated[str, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    source: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], PluginSettings] = Field(
        default_factory=dict
    )

    @property
    def licensed(self) -> bool:
        """False in the original's unlicensed mode: nothing is measured, nothing is sent."""
        return self.customer_id != UNLICENSED

    def section[S: Section](self, kind: type[S]) -> S | None:
        """A source's settings, or None where the source is not enabled."""
        found = [getattr(self, source.name, None) for source in SOURCES if source.section is kind]
        return next((section for section in found if isinstance(section, kind)), None)

    @field_validator("billing_api_url")
    @classmethod
    def _safe_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("not an address of the form https://host/optional/path")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ValueError("the instance key must not travel in clear; use https")
        return url.rstrip("/")

    @field_validator("billing_proxy")
    @classmethod
    def _proxy_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            raise ValueError("not an address of the form http://host:port")
        return url

    @field_validator("health_address")
    @classmethod
    def _address_with_port(cls, address: str | None) -> str | None:
        if not address or address == "off":
            return None
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) >= 2**16:
            raise ValueError('not of the form host:port; "off" switches the page off')
        return address

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.licensed and self.billing_api_url is not None and self.instance_key is None:
            raise ValueError("BILLING_API_URL is set without a key; set INSTANCE_KEY or INSTANCE_KEY_FILE")
        if self.billing_ca_file is not None and not self.billing_ca_file.is_file():
            raise ValueError(f"BILLING_CA_FILE: no such file: {self.billing_ca_file}")
        return self


class SettingsError(Exception):
    """The settings cannot be used; ``problems`` names every fault with its fix, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


_OWN = (
    Variable("CUSTOMER_ID", "customer_id", "who pays; `unlicensed`: nothing is measured, nothing is sent"),
    Variable("INSTANCE_ID", "instance_id", "which of the customer's instances this is"),
    Variable(
        "BILLING_API_URL",
        "billing_api_url",
        "the billing service, `https://…`; without it the agent measures and keeps",
    ),
    Variable(
        "INSTANCE_KEY", "instance_key", "the instance's key; needed with `BILLING_API_URL`", secret=True
    ),
    Variable(
        "FORMER_INSTANCE_KEY",
        "former_instance_key",
        "after `CUSTOMER_ID` or `INSTANCE_ID` changed: the key of the name before, for what waits under it",
        secret=True,
    ),
    Variable(
        "BILLING_CA_FILE",
        "billing_ca_file",
        "PEM file of the authority behind the billing service's certificate",
        default="the system's",
    ),
    Variable("BILLING_PROXY", "billing_proxy", "`http://host:port`; proxies of the environment are not used"),
    Variable(
        "JOURNAL_PATH", "journal_path", "the journal; in the image `/var/lib/zemfyre-agent/journal.sqlite3`"
    ),
    Variable(
        "JOURNAL_MAX_MEGABYTES",
        "journal_max_megabytes",
        "the journal's bound; a month without the service takes about 4",
    ),
    Variable("POLL_SECONDS", "poll_seconds", "the distance of two looks at a source, 1 to 300"),
    Variable(
        "REPORT_EVERY_SECONDS",
        "report_every_seconds",
        "the distance of two reports of the open hour, until the service tells another",
    ),
    Variable(
        "HEALTH_ADDRESS", "health_address", "the health page; `off` for none; in the image `0.0.0.0:9464`"
    ),
    Variable("LOG_LEVEL", "log_level", "`DEBUG`, `INFO`, `WARNING` or `ERROR`; the log goes to stderr"),
)
VARIABLES: Mapping[tuple[str, ...], Variable] = {(own.key,): own for own in _OWN} | {
    (source.name, variable.key): variable for source in SOURCES for variable in source.variables
}
"""Every variable by the place of its setting in the file: the agent's own, then source by source."""
_SECTIONS: dict[str, Any] = {source.name: (source.section | None, None) for source in SOURCES}
_Whole = create_model("Settings", __base__=Settings, **_SECTIONS)


def checked(values: Mapping[str, Any]) -> Settings:
    """The settings with these values, those of sources in a mapping of the source's name.

    Raises
    ------
    pydantic.ValidationError
        With every value that cannot be used.
    """
    return _Whole.model_validate(values)


def load(environment: Mapping[str, str]) -> Settings:
    """Read and check all settings; an empty variable counts as absent.

    Raises
    ------
    SettingsError
        With every problem of the file, the environment and the values at once.
    """
    problems: list[str] = []
    tree = _from_file(environment.get(CONFIG, ""), problems)
    for path, variable in VARIABLES.items():
        text = _from_environment(variable, environment, problems)
        if text is not None:
            _put(tree, path, text)
    try:
        settings = checked(tree)
    except ValidationError as error:
        raise SettingsError(problems + [_sentence(row) for row in error.errors()]) from error
    if problems:
        raise SettingsError(problems)
    return settings


def _from_file(name: str, problems: list[str]) -> dict[str, Any]:
    if not name:
        return {}
    try:
        return tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"{CONFIG}: {name} cannot be read as TOML: {error}")
        return {}


def _from_environment(variable: Variable, environment: Mapping[str, str], problems: list[str]) -> str | None:
    text = environment.get(variable.name, "") or None
    file = environment.get(f"{variable.name}_FILE", "") if variable.secret else ""
    if not file:
        return text
    if text is not None:
        problems.append(f"{variable.name}: given twice; unset {variable.name} or {variable.name}_FILE")
        return text
    try:
        # Secrets are commonly written with a line end that is no part of them.
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        problems.append(f"{variable.name}_FILE: {file} cannot be read: {error}")
        return None


def _put(tree: dict[str, Any], path: tuple[str, ...], text: str) -> None:
    *sections, last = path
    for section in sections:
        below = tree.setdefault(section, {})
        if not isinstance(below, dict):
            return  # the model names the misplaced value
        tree = below
    tree[last] = text


def _sentence(row: Any) -> str:
    path = tuple(str(part) for part in row["loc"])
    name = VARIABLES[path].name if path in VARIABLES else ".".join(path)
    message = row["msg"].removeprefix("Value error, ")
    if row["type"] == "missing":
        message = f"missing; set {name}"
    elif row["type"] == "extra_forbidden":
        message = "no such setting; remove it"
    return f"{name}: {message}" if name else message


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
