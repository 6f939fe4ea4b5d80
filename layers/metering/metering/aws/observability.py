"""Logs and operational metrics: one logger and one metrics sink for every function."""

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger(log_uncaught_exceptions=True)
metrics = Metrics()
metrics.set_default_dimensions(service=logger.service)

type Handler = Callable[[dict[str, Any], Any], Any]
"""What Lambda calls: an event and its context in, an answer out."""


def count(name: str, number: int = 1) -> None:
    """Count an operational event; alarms in the template watch some of these names."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=number)


def observed(handle: Handler, *, counts: bool = True) -> Handler:
    """Let an invocation's log lines carry its context, and what it ``counts`` be told when it ends."""
    handler: Handler = logger.inject_lambda_context(handle)
    return metrics.log_metrics(handler) if counts else handler
