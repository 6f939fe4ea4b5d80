"""Instances and their keys: made, rotated without a gap, revoked. A key is returned once and kept nowhere.

Source: docs/storage.md#tables: an instance holds up to two digests of secrets.
"""

import secrets

from metering.core.instances import Instance, make_key, secret_digest
from metering.tables.instances import Instances
from metering.tables.tables import Tables
from ops.errors import OperatorError

_SECRET_BYTES = 32


def add_instance(tables: Tables, customer_id: str, instance_id: str) -> str:
    """Store a new instance, or a revoked one anew, and return its key.

    Raises
    ------
    OperatorError
        When there is no such customer, or the instance has a key.
    """
    if tables.customers.customer(customer_id) is None:
        raise OperatorError(f"no customer {customer_id}; add it with `ops customers add`")
    instances = tables.instances
    present = instances.instance(customer_id, instance_id)
    if present is not None and present.digests:
        raise OperatorError(
            f"the instance {instance_id} of {customer_id} exists already; a new key comes with "
            f"`ops instances rotate-key {customer_id} {instance_id}`"
        )
    key, digest = _new_key(customer_id, instance_id)
    made = Instance(customer_id=customer_id, instance_id=instance_id, digests=(digest,))
    if present is not None:
        _replace(instances, present, made.digests)
    elif not instances.add(made):
        raise _changed(made)
    return key


def rotate_key(instances: Instances, customer_id: str, instance_id: str, *, again: bool = False) -> str:
    """Give an instance a second key beside its present one, and return it.

    Both are good until `finish_rotation`.
    ``again`` replaces a second key that was lost before it was used.

    Raises
    ------
    OperatorError
        When there is no such instance, it is revoked, or it has a second key already.
    """
    instance = _instance(instances, customer_id, instance_id)
    match instance.digests:
        case ():
            raise OperatorError(
                f"the instance {instance_id} of {customer_id} is revoked; give it a key with "
                f"`ops instances add {customer_id} {instance_id}`"
            )
        case (_, _) if not again:
            raise OperatorError(
                f"the instance {instance_id} of {customer_id} has two keys; drop the old one with --finish, "
                "or replace the new one, if it was lost, with --again"
            )
        case digests:
            key, digest = _new_key(customer_id, instance_id)
            _replace(instances, instance, (*digests[:1], digest))
            return key


def finish_rotation(instances: Instances, customer_id: str, instance_id: str) -> bool:
    """Drop the old key; tell whether there was one besides the new."""
    instance = _instance(instances, customer_id, instance_id)
    if len(instance.digests) < 2:  # noqa: PLR2004  the old key and the new one
        return False
    _replace(instances, instance, instance.digests[-1:])
    return True


def revoke(instances: Instances, customer_id: str, instance_id: str) -> bool:
    """Drop all of an instance's keys; tell whether there were any. Its reports stay."""
    instance = _instance(instances, customer_id, instance_id)
    if not instance.digests:
        return False
    _replace(instances, instance, ())
    return True


def _instance(instances: Instances, customer_id: str, instance_id: str) -> Instance:
    instance = instances.instance(customer_id, instance_id)
    if instance is None:
        raise OperatorError(
            f"no instance {instance_id} of {customer_id}; see `ops instances list {customer_id}`"
        )
    return instance


def _new_key(customer_id: str, instance_id: str) -> tuple[str, str]:
    """Return a new key and the digest of its secret."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    return make_key(customer_id, instance_id, secret), secret_digest(secret)


def _replace(instances: Instances, instance: Instance, digests: tuple[str, ...]) -> None:
    """Put the digests in place of those that were read: of two operators at once, one is told."""
    if not instances.replace(instance, instance.model_copy(update={"digests": digests})):
        raise _changed(instance)


def _changed(instance: Instance) -> OperatorError:
    return OperatorError(
        f"someone changed the keys of {instance.instance_id} of {instance.customer_id} just now; look at "
        f"`ops instances list {instance.customer_id}` and try again"
    )
