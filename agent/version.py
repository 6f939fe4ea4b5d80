"""The agent's version, as its reports and requests carry it."""

VERSION = "0.1.0"
