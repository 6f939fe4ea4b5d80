"""Reports contributions to Stripe."""

from metering.composition import compose
from stripe_report.app import StripeReportSettings, build

handle = compose(StripeReportSettings, build)
