"""The on-instance agent: counts what the instance uses, and reports it."""

__version__ = "0.1.0"
