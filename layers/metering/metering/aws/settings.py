"""A function's environment, read once at import and checked by name."""

import os
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError


class SettingsError(RuntimeError):
    """Variables that are missing or wrong; the text names each."""


class Settings(BaseModel):
    """Base of each function's settings: a field ``reports_table`` comes from ``REPORTS_TABLE``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @property
    def table_names(self) -> dict[str, str]:
        """The names of the tables that the function was given, by setting."""
        return {name: value for name, value in self.model_dump().items() if name.endswith("_table")}


def read_settings[S: Settings](model: type[S], environment: Mapping[str, str] | None = None) -> S:
    """Read a function's settings from the environment.

    Raises
    ------
    SettingsError
        Names every variable that is missing or wrong.
    """
    variables = os.environ if environment is None else environment
    try:
        return model.model_validate({name.lower(): value for name, value in variables.items()})
    except ValidationError as error:
        rows = [f"{row['loc'][0]!s}".upper() + f": {row['msg']}" for row in error.errors(include_url=False)]
        raise SettingsError("; ".join(rows)) from None
