"""The environment of everything that the demo and the tests start: no real account within reach.

Source: docs/local.md#safety
"""

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

_STRIPPED = ("AWS_", "STRIPE_")
_HOST = re.compile(r"^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]*)", re.IGNORECASE)


class NotLoopback(ValueError):  # noqa: N818 - says what is the case, as our error names do
    """An endpoint for a local program points to another machine."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__(f"{name}={value!r} leaves this machine; local programs talk to loopback only")
        self.name = name
        self.value = value


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine: ``localhost``, a name below it, or 127/8 and ::1."""
    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def scrubbed(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that we start: this one's, without AWS and Stripe, plus ``extra``.

    Every ``AWS_*`` and ``STRIPE_*`` variable of the caller is dropped, AWS's configuration files and
    instance metadata are switched off (a profile in the home directory counts as an account too), proxies
    are bypassed, and the running interpreter's folder comes first on the path (a pyenv shim answers "command
    not found" outside the tree). ``extra`` wins over all of it.

    Raises
    ------
    NotLoopback
        a value of ``extra`` is a URL whose host is another machine.
    """
    for name, value in extra.items():
        host = _HOST.match(value)
        if host is not None and not is_loopback(host[1]):
            raise NotLoopback(name, value)
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(_STRIPPED)}
    here = str(Path(sys.executable).parent)
    return kept | {
        "PATH": os.pathsep.join([here, kept.get("PATH", os.defpath)]),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,::1,localhost,.localhost",
        "no_proxy": "127.0.0.1,::1,localhost,.localhost",
        **extra,
    }
