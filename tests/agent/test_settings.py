"""The settings: environment and file, every error named at once with its fix."""

from pathlib import Path

import pytest

from agent.collectors.mosquitto.settings import MosquittoSettings
from agent.collectors.postgres.settings import PostgresSettings
from agent.settings import Settings, SettingsError, load
from metering.core.contract import ID_PATTERN

LICENSED = {
    "CUSTOMER_ID": "cust_1",
    "BILLING_API_URL": "https://billing.example/v1/",
    "INSTANCE_KEY": "secret-key",
}


def problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load(environment)
    return refused.value.problems


def test_without_settings_the_agent_is_unlicensed() -> None:
    """Without settings there is no licence; polls are 15 s apart, reports 900 s, the health page on 9464."""
    settings = load({})
    assert not settings.licensed
    assert (15, 900, "default") == (
        settings.poll_seconds,
        settings.report_every_seconds,
        settings.instance_id,
    )
    assert "127.0.0.1:9464" == settings.health_address


def test_an_empty_variable_counts_as_absent() -> None:
    """A variable that is set to nothing is absent, not a faulty value."""
    assert not load({"CUSTOMER_ID": "", "MQTT_HOST": "", "POLL_SECONDS": ""}).licensed


def test_a_source_is_enabled_by_its_settings() -> None:
    """MQTT_HOST and POSTGRES_DSN enable their sources, on port 1883 without TLS, 5 s for a statement."""
    settings = load({"MQTT_HOST": "broker", "POSTGRES_DSN": "postgresql://db"})
    mosquitto = settings.section(MosquittoSettings)
    postgres = settings.section(PostgresSettings)
    assert mosquitto is not None
    assert postgres is not None
    assert ("broker", 1883, False) == (mosquitto.host, mosquitto.port, mosquitto.tls)
    assert 5 == postgres.statement_timeout_seconds
    assert load({}).section(MosquittoSettings) is None


def test_an_authority_switches_tls_and_its_port_on(tmp_path: Path) -> None:
    """MQTT_CA_FILE switches TLS on and makes the port 8883."""
    authority = tmp_path / "ca.pem"
    authority.write_text("", encoding="ascii")
    mosquitto = load({"MQTT_HOST": "broker", "MQTT_CA_FILE": str(authority)}).section(MosquittoSettings)
    assert mosquitto is not None
    assert (True, 8883) == (mosquitto.tls, mosquitto.port)


def test_every_error_is_named_at_once() -> None:
    """All faulty settings are told at once by their names, MQTT_HOST too where only a port is given."""
    found = problems(
        {
            "CUSTOMER_ID": "not an id",
            "POLL_SECONDS": "often",
            "MQTT_PORT": "70000",
            "BILLING_API_URL": "ftp://billing.example",
            "INSTANCE_KEY_FILE": "/nowhere/key",
        }
    )
    names = [problem.partition(":")[0] for problem in found]
    assert [
        "INSTANCE_KEY_FILE",
        "CUSTOMER_ID",
        "BILLING_API_URL",
        "POLL_SECONDS",
        "MQTT_HOST",
        "MQTT_PORT",
    ] == names


def test_a_secret_may_come_from_a_file_but_not_from_two_places(tmp_path: Path) -> None:
    """INSTANCE_KEY_FILE gives the key without its newline; given both ways it is an error."""
    file = tmp_path / "key"
    file.write_text("from-file\n", encoding="utf-8")
    given = {name: value for name, value in LICENSED.items() if name != "INSTANCE_KEY"}
    settings = load(given | {"INSTANCE_KEY_FILE": str(file)})
    assert settings.instance_key is not None
    assert "from-file" == settings.instance_key.get_secret_value()
    (problem,) = problems(LICENSED | {"INSTANCE_KEY_FILE": str(file)})
    assert "given twice" in problem


def test_secrets_are_not_shown() -> None:
    """The settings' text has neither the key nor the password of a connection string."""
    shown = repr(load(LICENSED | {"POSTGRES_DSN": "postgresql://u:pa55@h/d"}))
    assert "secret-key" not in shown
    assert "pa55" not in shown


@pytest.mark.parametrize(
    "dsn",
    [
        "host=db password=my geheim",
        "postgresql://agent:my@geheim@db/platform",
        "postgresql://agent:my/geheim@db/platform",
        "host=db port=geheim",
        "geheim",
    ],
)
def test_a_connection_string_that_cannot_be_read_is_named_without_its_content(dsn: str) -> None:
    """What libpq takes for a host or an option may be a part of the password."""
    (problem,) = problems({"POSTGRES_DSN": dsn})
    assert problem.startswith("POSTGRES_DSN: ")
    assert "geheim" not in problem
    assert "percent-encode" in problem


def test_ids_are_the_contracts() -> None:
    """One pattern for both sides: an id that the service refuses keeps the agent from starting."""
    for name in ("customer_id", "instance_id"):
        (constraint,) = Settings.model_fields[name].metadata
        assert ID_PATTERN == constraint.pattern


def test_a_key_never_travels_in_clear_beyond_this_machine() -> None:
    """A billing URL with http is refused but for loopback names: the key would travel in clear."""
    (problem,) = problems(LICENSED | {"BILLING_API_URL": "http://billing.example"})
    assert "use https" in problem
    for host in ("127.0.0.1:4566", "[::1]:80", "localhost", "abc.execute-api.localhost:4566"):
        assert load(LICENSED | {"BILLING_API_URL": f"http://{host}/p/"}).billing_api_url == f"http://{host}/p"


def test_a_url_without_a_key_is_an_error() -> None:
    """A billing URL without INSTANCE_KEY is an error that names the key."""
    (problem,) = problems({"CUSTOMER_ID": "cust_1", "BILLING_API_URL": "https://billing.example"})
    assert "INSTANCE_KEY" in problem


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Environment and file are joined, and where both set a name the environment wins."""
    file = tmp_path / "agent.toml"
    file.write_text(
        'customer_id = "from_file"\npoll_seconds = 20\n[mosquitto]\nhost = "broker"\n', encoding="utf-8"
    )
    settings = load({"AGENT_CONFIG": str(file), "CUSTOMER_ID": "from_env", "MQTT_USERNAME": "agent"})
    mosquitto = settings.section(MosquittoSettings)
    assert mosquitto is not None
    assert ("from_env", 20, "broker", "agent") == (
        settings.customer_id,
        settings.poll_seconds,
        mosquitto.host,
        mosquitto.username,
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("poll_secs = 3", "poll_secs"),
        ('[mosquitto]\nhostname = "x"\nhost = "y"', "mosquitto.hostname"),
        ("not toml", "AGENT_CONFIG"),
        ("[source.mine]\noption = 1", "source.mine.factory"),
        ('[source.mine]\nfactory = "no colon"', "source.mine.factory"),
    ],
)
def test_a_faulty_file_is_named_with_the_place(tmp_path: Path, text: str, name: str) -> None:
    """An unknown name, a missing factory or broken TOML is told with its place in the file."""
    file = tmp_path / "agent.toml"
    file.write_text(text, encoding="utf-8")
    (problem,) = problems({"AGENT_CONFIG": str(file)})
    assert problem.startswith(f"{name}:")


def test_a_missing_file_is_named() -> None:
    """A settings file that is not there is told with its path."""
    (problem,) = problems({"AGENT_CONFIG": "/nowhere/agent.toml"})
    assert problem.startswith("AGENT_CONFIG: /nowhere/agent.toml")


def test_a_source_of_another_package_gets_its_own_table(tmp_path: Path) -> None:
    """[source.<name>] gives a source of another package its factory and its own options."""
    file = tmp_path / "agent.toml"
    file.write_text('[source.mine]\nfactory = "their.module:Make"\npath = "/x"\n', encoding="utf-8")
    plugin = load({"AGENT_CONFIG": str(file)}).source["mine"]
    assert ("their.module:Make", {"path": "/x"}) == (plugin.factory, plugin.options())


@pytest.mark.parametrize("address", ["9464", "host:", ":1", "host:99999", "host:port"])
def test_a_health_address_is_host_and_port(address: str) -> None:
    """HEALTH_ADDRESS needs a host and a port up to 65535."""
    (problem,) = problems({"HEALTH_ADDRESS": address})
    assert problem.startswith("HEALTH_ADDRESS:")


def test_the_health_page_can_be_switched_off() -> None:
    """HEALTH_ADDRESS=off leaves the health page out."""
    assert load({"HEALTH_ADDRESS": "off"}).health_address is None
