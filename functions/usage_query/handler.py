"""Serves usage to instances and to the customer's page."""

from metering.composition import compose
from usage_query.app import QuerySettings, build

handle = compose(QuerySettings, build)
