"""``POST /api/usage/report``."""

from ingest.app import IngestSettings, build
from metering.composition import compose

handle = compose(IngestSettings, build)
