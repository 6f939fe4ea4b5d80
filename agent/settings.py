"""The agent's settings, from the environment and an optional TOML file, checked once at the start.

Every error is named at once with its fix. A value in the environment wins over the same one in the file that
``AGENT_CONFIG`` names; a secret ``X`` may also come from the file that ``X_FILE`` names. A source is enabled
by its settings being present. Source: design page "agent", section "Configuration".

The TOML file has the same names in lower case: the agent's own at the top, those of a source in its table
(``[mosquitto]``, ``[postgres]``). A source that is not part of this package is a table
``[source.<name>]`` whose ``factory`` names a callable ``"package.module:callable"``; it is called with the
rest of that table, the clock and ``poll_seconds``, and returns a `Collector`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from metering.core.contract import Id

UNLICENSED = "unlicensed"
_ESCAPES = "put quotes around a value with blanks, percent-encode the password in a URL"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class MosquittoSettings(_Section):
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


class PostgresSettings(_Section):
    """Which PostgreSQL database to size, and the queries that count devices.

    ``dsn`` is a libpq connection string or URL. A query of ``None`` means the collector's own on the
    platform's table; each must give one row with one whole number.
    """

    dsn: SecretStr
    devices_active_query: str | None = None
    devices_total_query: str | None = None
    statement_timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 5

    @field_validator("dsn")
    @classmethod
    def _readable(cls, dsn: SecretStr) -> SecretStr:
        """Refuse what libpq would misread: its own complaint later could show a part of the password."""
        # Imported only where the source is enabled: psycopg costs 15 MB.
        from psycopg import ProgrammingError  # noqa: PLC0415  see above
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415  see above

        try:
            parts = conninfo_to_dict(dsn.get_secret_value())
        except ProgrammingError:
            # The cause is left out of the chain: it quotes the text.
            raise ValueError(f"no connection string or URL of libpq; {_ESCAPES}") from None
        host, port = str(parts.get("host") or ""), str(parts.get("port") or "")
        named = f"{host[1:]}{parts.get('dbname') or ''}"
        if "@" in named or not all(part.isascii() and part.isdigit() for part in port.split(",") if part):
            raise ValueError(f"its host, port or database name cannot be one; {_ESCAPES}")
        return dsn


class PluginSettings(_Section):
    """A source from outside this package: its factory and whatever else its table says."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)
    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]

    def options(self) -> dict[str, Any]:
        """The table without ``factory``, as the factory gets it."""
        return dict(self.model_extra or {})


class Settings(_Section):
    """All settings of one agent.

    ``poll_seconds`` is the distance of two looks at a source, ``report_every_seconds`` the distance of two
    revisions of the open hour until the service tells another (it tells 60 to 3600; less is for demos).
    ``health_address`` is ``host:port``, or None for no health page.
    """

    customer_id: Id = UNLICENSED
    instance_id: Id = "default"
    billing_api_url: str | None = None
    instance_key: SecretStr | None = None
    billing_ca_file: Path | None = None
    billing_proxy: str | None = None
    journal_path: Path = Path("agent-journal.sqlite3")
    journal_max_megabytes: Annotated[int, Field(ge=1, le=1024)] = 64
    poll_seconds: Annotated[int, Field(ge=1, le=300)] = 15
    report_every_seconds: Annotated[int, Field(ge=1, le=3600)] = 900
    health_address: str | None = "127.0.0.1:9464"
    log_level: Annotated[str, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    mosquitto: MosquittoSettings | None = None
    postgres: PostgresSettings | None = None
    source: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], PluginSettings] = {}

    @property
    def licensed(self) -> bool:
        """False in the original's unlicensed mode: nothing is measured, nothing is sent."""
        return self.customer_id != UNLICENSED

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


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    path: tuple[str, ...]
    secret: bool = False


_VARIABLES: tuple[_Variable, ...] = (
    _Variable("CUSTOMER_ID", ("customer_id",)),
    _Variable("INSTANCE_ID", ("instance_id",)),
    _Variable("BILLING_API_URL", ("billing_api_url",)),
    _Variable("INSTANCE_KEY", ("instance_key",), secret=True),
    _Variable("BILLING_CA_FILE", ("billing_ca_file",)),
    _Variable("BILLING_PROXY", ("billing_proxy",)),
    _Variable("JOURNAL_PATH", ("journal_path",)),
    _Variable("JOURNAL_MAX_MEGABYTES", ("journal_max_megabytes",)),
    _Variable("POLL_SECONDS", ("poll_seconds",)),
    _Variable("REPORT_EVERY_SECONDS", ("report_every_seconds",)),
    _Variable("HEALTH_ADDRESS", ("health_address",)),
    _Variable("LOG_LEVEL", ("log_level",)),
    _Variable("MQTT_HOST", ("mosquitto", "host")),
    _Variable("MQTT_PORT", ("mosquitto", "port")),
    _Variable("MQTT_USERNAME", ("mosquitto", "username")),
    _Variable("MQTT_PASSWORD", ("mosquitto", "password"), secret=True),
    _Variable("MQTT_TLS", ("mosquitto", "tls")),
    _Variable("MQTT_CA_FILE", ("mosquitto", "ca_file")),
    _Variable("POSTGRES_DSN", ("postgres", "dsn"), secret=True),
    _Variable("POSTGRES_DEVICES_ACTIVE_QUERY", ("postgres", "devices_active_query")),
    _Variable("POSTGRES_DEVICES_TOTAL_QUERY", ("postgres", "devices_total_query")),
    _Variable("POSTGRES_STATEMENT_TIMEOUT_SECONDS", ("postgres", "statement_timeout_seconds")),
)
_NAME_OF = {variable.path: variable.name for variable in _VARIABLES}


def load(environment: Mapping[str, str]) -> Settings:
    """Read and check all settings; an empty variable counts as absent.

    Raises
    ------
    SettingsError
        With every problem of the file, the environment and the values at once.
    """
    problems: list[str] = []
    tree = _from_file(environment.get("AGENT_CONFIG", ""), problems)
    for variable in _VARIABLES:
        text = _from_environment(variable, environment, problems)
        if text is not None:
            _put(tree, variable.path, text)
    try:
        settings = Settings.model_validate(tree)
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
        problems.append(f"AGENT_CONFIG: {name} cannot be read as TOML: {error}")
        return {}


def _from_environment(variable: _Variable, environment: Mapping[str, str], problems: list[str]) -> str | None:
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
    name = _NAME_OF.get(path) or ".".join(path)
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
