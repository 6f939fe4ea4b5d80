"""``ops instances``: keys are shown once, rotated without a gap, revoked."""

import pytest

from metering.core.instances import Instance, split_key
from tests.component.ops.desk import Desk

ADD = ("instances", "add", "acme")
ROTATE = ("instances", "rotate-key", "acme")


@pytest.fixture
def acme(desk: Desk) -> Desk:
    """A desk with a customer."""
    desk.good("customers", "add", "acme", "--name", "Acme", "--no-stripe")
    return desk


def _accepts(desk: Desk, key: str) -> bool:
    parts = split_key(key)
    assert parts is not None
    instance = desk.tables.instances.instance(*parts[:2])
    assert instance is not None
    return instance.accepts(parts[2])


def _instance(desk: Desk) -> Instance:
    instance = desk.tables.instances.instance("acme", "default")
    assert instance is not None
    return instance


def test_a_key_is_printed_once_and_not_stored(acme: Desk) -> None:
    """The key is the only line on standard output; the table has its digest alone."""
    added = acme.good(*ADD)
    key = added.out.strip()

    assert _accepts(acme, key)
    secret = key.rpartition(".")[2]
    assert secret not in _instance(acme).model_dump_json() + added.err
    assert secret not in acme.good("instances", "list", "acme", "--json").out


def test_an_instance_is_added_once(acme: Desk) -> None:
    """Adding an instance again is refused, and its key stays good."""
    key = acme.good(*ADD, "--json").json["key"]

    assert "rotate-key" in acme.wrong(1, *ADD)
    assert _accepts(acme, key)


def test_a_rotation_has_no_gap(acme: Desk) -> None:
    """Both keys are good until the rotation is finished; then the new one alone."""
    old = acme.good(*ADD, "--json").json["key"]
    new = acme.good(*ROTATE, "--json").json["key"]
    assert (True, True) == (_accepts(acme, old), _accepts(acme, new))
    assert "rotating" == acme.good("instances", "list", "acme", "--json").json[0]["state"]

    assert [True, False] == [acme.good(*ROTATE, "--finish", "--json").json["changed"] for _ in range(2)]
    assert (False, True) == (_accepts(acme, old), _accepts(acme, new))


def test_a_lost_key_is_replaced_on_request_alone(acme: Desk) -> None:
    """A second rotation is refused, unless the new key was lost: then it is replaced, the old one stays."""
    old = acme.good(*ADD, "--json").json["key"]
    lost = acme.good(*ROTATE, "--json").json["key"]
    assert "--again" in acme.wrong(1, *ROTATE)
    assert _accepts(acme, lost)
    new = acme.good(*ROTATE, "--again", "--json").json["key"]

    assert [True, False, True] == [_accepts(acme, key) for key in (old, lost, new)]


def test_a_revoked_instance_has_no_key(acme: Desk) -> None:
    """Revoking drops both keys, twice is once, and the instance can be given a key anew."""
    keys = [acme.good(*ADD, "--json").json["key"], acme.good(*ROTATE, "--json").json["key"]]
    revoked = [acme.good("instances", "revoke", "acme", "default", "--json").json for _ in range(2)]
    assert [True, False] == [one["changed"] for one in revoked]
    assert () == _instance(acme).digests
    assert "revoked" in acme.wrong(1, *ROTATE)

    keys.append(acme.good(*ADD, "--json").json["key"])
    assert [False, False, True] == [_accepts(acme, key) for key in keys]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("instances", "add", "acme", "no/id"), 2, "INSTANCE"),
        (("instances", "revoke", "acme", "none"), 1, "no instance none"),
        ((*ROTATE, "none"), 1, "no instance none"),
        ((*ROTATE, "--finish", "--again"), 2, "exclude each other"),
        (("instances", "revoke", "acme"), 2, "INSTANCE"),
        (("instances", "list", "nobody"), 1, "no customer nobody"),
    ],
)
def test_wrong_input_is_named(acme: Desk, arguments: tuple[str, ...], status: int, said: str) -> None:
    """What cannot be right ends with status 2, what failed with 1, in one sentence."""
    assert said in acme.wrong(status, *arguments)
