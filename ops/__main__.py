"""The operator's command line; it works with the operator's own AWS credentials and Stripe key.

A command is a module in ``ops/commands/`` that is named below; its logic is the module of the same name in
``ops/``. Exit statuses: 0 done, 1 failed (or something differs), 2 wrong usage.
"""

import sys

import botocore.exceptions
import stripe
import typer

from metering.core.catalog import CatalogError
from ops.commands import (
    adjust,
    attach,
    customers,
    instances,
    late_usage,
    portal,
    probe,
    reconcile,
    replay,
    set_plan,
    settle,
    simulate,
    status,
    sync,
)
from ops.errors import OperatorError

app = typer.Typer(
    no_args_is_help=True,
    help="Operate the consumption billing.",
    epilog="Exit status: 0 done, 1 failed or something differs, 2 wrong usage. "
    "AWS credentials are boto3's own; STRIPE_API_KEY holds Stripe's; ZEMFYRE_STACK names the stack.",
    pretty_exceptions_enable=False,
)


def _group(name: str, text: str) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=text)
    app.add_typer(group, name=name)
    return group


for line, modules in (
    (app, (reconcile, late_usage, settle, adjust, status, simulate, portal, replay)),
    (_group("stripe", "Products, meters and prices in Stripe."), (sync, probe)),
    (_group("customers", "Customers and their subscriptions."), (customers, set_plan, attach)),
    (_group("instances", "Instances and their keys."), (instances,)),
):
    for module in modules:
        module.register(line)


def main() -> None:
    """Run a command; what the operator must mend ends it with one sentence and status 1 or 2."""
    try:
        app()
    except OperatorError as error:
        _fail(str(error), error.status)
    except CatalogError as error:
        _fail(str(error), 1)
    except stripe.StripeError as error:
        _fail(f"Stripe: {error.user_message or error}", 1)
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        _fail(f"AWS: {error}", 1)


def _fail(text: str, status: int) -> None:
    print(f"ops: {text}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
