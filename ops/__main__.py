"""The operator's command line; it works with the operator's own AWS credentials and Stripe key.

A group of commands is a module in ``ops/commands/`` and one line here.
"""

import sys

import typer

from metering.catalog import CatalogError
from ops.commands import customers, instances, replay, stripe
from ops.errors import OperatorError

app = typer.Typer(
    no_args_is_help=True, help="Operate the consumption billing.", pretty_exceptions_enable=False
)
app.add_typer(stripe.app, name="stripe")
app.add_typer(customers.app, name="customers")
app.add_typer(instances.app, name="instances")
app.command("replay")(replay.replay)


def main() -> None:
    """Run a command; an error the operator must mend ends it with one sentence and status 1."""
    try:
        app()
    except (OperatorError, CatalogError) as error:
        print(f"ops: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
