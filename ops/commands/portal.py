"""``ops portal``: a look at a customer's page."""

import typer

from metering.core.instants import format_instant
from ops import clock
from ops.deployment import Deployment
from ops.portal import portal_page
from ops.terminal.options import AsJson, CustomerId, Stack
from ops.terminal.printing import messages, print_json


def register(line: typer.Typer) -> None:
    """Put the command into a command line."""
    line.command("portal", epilog="Example: ops portal cust_8f2c")(_portal)


def _portal(customer_id: CustomerId, *, stack: Stack, as_json: AsJson = False) -> None:
    """Print the address of a customer's page with a token of one hour: read-only, this customer alone."""
    page = portal_page(Deployment(stack), customer_id, clock.present())
    expires = format_instant(page.expires)
    if as_json:
        print_json({"customer_id": customer_id, "token": page.token, "url": page.url, "expires_at": expires})
        return
    messages.print(f"the page of {customer_id}, until {expires}:")
    print(page.url)
