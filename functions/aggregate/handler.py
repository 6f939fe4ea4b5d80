"""Recomputes dirty hours, sweeps the fleet."""

from aggregate.app import AggregateSettings, build
from metering.composition import compose

handle = compose(AggregateSettings, build)
