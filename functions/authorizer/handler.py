"""The HTTP API's Lambda authorizer."""

from authorizer.app import AuthorizerSettings, build
from metering.composition import compose

handle = compose(AuthorizerSettings, build, counts=False)
