"""Logs and operational metrics: one logger and one metrics sink for every function."""

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger(log_uncaught_exceptions=True)
metrics = Metrics()
metrics.set_default_dimensions(service=logger.service)


def count(name: str, number: int = 1) -> None:
    """Count an operational event; alarms in the template watch some of these names."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=number)
