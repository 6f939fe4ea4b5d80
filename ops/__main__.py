"""The operator's command line; it works with the operator's own AWS credentials and Stripe key.

A group of commands is a module in ``ops/commands/`` and one line here. Exit statuses: 0 done, 1 failed (or
something differs), 2 wrong usage.
"""

import sys

import botocore.exceptions
import stripe
import typer

from metering.core.catalog import CatalogError
from ops.commands import billing, customers, fleet, instances, plans, portal, replay, simulate, subscriptions
from ops.commands import stripe as stripe_commands
from ops.errors import OperatorError

app = typer.Typer(
    no_args_is_help=True,
    help="Operate the consumption billing.",
    epilog="Exit status: 0 done, 1 failed or something differs, 2 wrong usage. "
    "AWS credentials are boto3's own; STRIPE_API_KEY holds Stripe's; ZEMFYRE_STACK names the stack.",
    pretty_exceptions_enable=False,
)
app.add_typer(stripe_commands.app, name="stripe")
app.add_typer(customers.app, name="customers")
app.add_typer(instances.app, name="instances")
plans.add_to(customers.app)
subscriptions.add_to(customers.app)
billing.add_to(app)
fleet.add_to(app)
simulate.add_to(app)
portal.add_to(app)
app.command("replay", epilog="Example: ops replay cust_8f2c --from 2026-11-01 --to 2026-11-08 --dry-run")(
    replay.replay
)


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
