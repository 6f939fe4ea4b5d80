"""A function's environment, checked by name before the first event."""

import pytest

from metering.aws.settings import Settings, SettingsError, read_settings


class Wanted(Settings):
    """What a function wants."""

    reports_table: str
    retries: int = 3


def test_variables_become_fields() -> None:
    """A field's variable is its name in capitals; others are passed over, defaults hold."""
    read = read_settings(Wanted, {"REPORTS_TABLE": "reports", "HOME": "/root"})
    assert ("reports", 3) == (read.reports_table, read.retries)


def test_numbers_are_read() -> None:
    """A number's variable is read as a number."""
    assert 5 == read_settings(Wanted, {"REPORTS_TABLE": "r", "RETRIES": "5"}).retries


def test_every_wrong_variable_is_named() -> None:
    """A missing and a wrong variable are both named, as the environment calls them."""
    with pytest.raises(SettingsError, match=r"^REPORTS_TABLE: .*; RETRIES: "):
        read_settings(Wanted, {"RETRIES": "many"})


def test_the_process_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another environment the process's own is read."""
    monkeypatch.setenv("REPORTS_TABLE", "from-the-process")
    assert "from-the-process" == read_settings(Wanted).reports_table
