"""The mosquitto collector over TLS, with certificates that openssl makes for the test."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent.collectors.mosquitto.collector import MosquittoCollector
from agent.engine.observation import Observation, SourceError
from agent.engine.own import without_own
from local.services.mosquitto import Mosquitto
from local.services.program import find_program

type Watch = Callable[..., MosquittoCollector]
type Round = Callable[[MosquittoCollector], Observation]


def make_certificate(certificate: Path, key: Path, options: Sequence[str | Path]) -> None:
    """One openssl call: a new key and a certificate for it."""
    openssl = find_program("openssl", "apt-get install openssl")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        [openssl, "req", "-x509", *new_key, *options, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )


def make_authority(folder: Path, name: str) -> Path:
    """A certificate authority, and below it a certificate for 127.0.0.1; the authority's file."""
    authority, server = folder / f"{name}-ca.pem", folder / f"{name}.pem"
    key = folder / f"{name}-ca.key"
    self_signed = ["-subj", f"/CN={name} authority", "-addext", "keyUsage=critical,keyCertSign"]
    signed = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    issuer: list[str | Path] = [
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-CA",
        authority,
        "-CAkey",
        key,
    ]
    make_certificate(authority, key, self_signed)
    make_certificate(server, folder / f"{name}.key", [*signed, *issuer])
    return authority


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """The authority that signed the broker's certificate."""
    return make_authority(tmp_path, "ours")


@pytest.fixture
def broker(tmp_path: Path, authority: Path) -> Iterator[Mosquitto]:
    """A broker that speaks TLS alone."""
    certificates = [
        f"certfile {authority.with_name('ours.pem')}",
        f"keyfile {authority.with_name('ours.key')}",
    ]
    with Mosquitto(tmp_path / "mosquitto", settings=certificates) as started:
        yield started


def test_own_bytes_are_exact_below_tls(
    broker: Mosquitto, authority: Path, watch: Watch, next_round: Round
) -> None:
    """The broker counts packets, not TLS records, and so does the agent."""
    collector = watch(broker, ca_file=authority)

    seen = [next_round(collector), next_round(collector)]

    assert [{0}, {0}] == [set(without_own(observation).values()) for observation in seen]


# paho leaves a socket whose handshake failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_a_broker_of_another_authority_is_not_trusted(
    broker: Mosquitto, tmp_path: Path, watch: Watch
) -> None:
    """A certificate that the given authority did not sign ends the connection before any password is sent."""
    collector = watch(broker, ca_file=make_authority(tmp_path, "theirs"))

    with pytest.raises(SourceError, match="certificate verify failed") as failure:
        collector.collect()

    assert failure.value.status == "unreachable"
