"""The demo: real counters to a Stripe invoice, on one machine, through a crash and a restart."""
