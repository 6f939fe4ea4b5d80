"""Every test's surroundings: no real account within reach, and how many examples Hypothesis draws."""

import os

from hypothesis import HealthCheck, Phase, settings

from local.environment import scrubbed

_SURROUNDINGS = scrubbed(
    {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "POWERTOOLS_METRICS_NAMESPACE": "ZemfyreBilling",
        "POWERTOOLS_SERVICE_NAME": "test",
    }
)
# Set at import: function handlers and boto3 read the environment when they are imported.
os.environ.clear()
os.environ.update(_SURROUNDINGS)

# A slow machine is no failure, so nothing is timed. HYPOTHESIS_PROFILE=slow draws seventy-five times as many.
settings.register_profile(
    "default", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "slow",
    max_examples=3000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[*Phase],
    print_blob=True,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
