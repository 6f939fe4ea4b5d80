"""Usage of metered prices that are taken out of a subscription in the middle of a period.

Stripe, "Update prices mid-cycle": in flexible mode an invoice item bills what was reported by then, unless
``proration_behavior`` is none; in classic mode it is not billed.
"""

from collections.abc import Iterable

from stripe_simulator.engine import billed_parts, invoice_lines
from stripe_simulator.engine.billed import InvoiceItem
from stripe_simulator.engine.event_log import record
from stripe_simulator.engine.invoicing import Draft, make
from stripe_simulator.engine.state import Asked, State
from stripe_simulator.engine.subscribed import Subscription, SubscriptionItem
from stripe_simulator.engine.subscription_life import upcoming


def bill(state: State, subscription: Subscription, before: Iterable[SubscriptionItem], asked: Asked) -> None:
    """Make invoice items for the usage of metered items that are not there any more, under their old prices.

    They wait for the subscription's next invoice, which with ``always_invoice`` comes at once.
    """
    behavior = asked.parameters.get("proration_behavior", "create_prorations")
    if not subscription.flexible or behavior == "none" or subscription.status == "trialing":
        return
    kept = {(item.id, item.price) for item in subscription.items}
    removed = [
        item
        for item in before
        if (item.id, item.price) not in kept and billed_parts.meter_of(state, item.price) is not None
    ]
    made = [one for item in removed for one in _items(state, subscription, item, asked)]
    if made and behavior == "always_invoice":
        make(state, subscription, asked.now, Draft("subscription_update", finalisation="at_once"))


def _items(
    state: State, subscription: Subscription, item: SubscriptionItem, asked: Asked
) -> list[InvoiceItem]:
    sample = upcoming(state, subscription, asked.now)
    sample.licensed = ()
    sample.metered = (billed_parts.metered_part(state, subscription, item, asked.now),)
    made = []
    for line in invoice_lines.lines_from(state, sample, [], asked.now):
        if line.quantity == 0:
            continue
        one = InvoiceItem(
            id=state.new_id("ii"),
            customer=subscription.customer,
            created=asked.now,
            currency=subscription.currency,
            amount=line.amount,
            quantity=line.quantity,
            unit_amount=line.unit_amount,
            period_start=line.period_start,
            period_end=line.period_end,
            description=line.description,
            invoice=None,
            subscription=subscription.id,
            price=line.price,
            product=line.product,
            subscription_item=item.id,
        )
        state.invoice_items[one.id] = one
        record(state, "invoiceitem.created", one, asked.now, asked)
        made.append(one)
    return made
