"""A Stripe that lives on this machine: the part of its API that billing by meters needs.

``running_simulator()`` runs one in a thread for tests; ``python -m stripe_simulator`` is the program;
``StripeAccount`` is the state machine inside, without HTTP and without a clock.
"""

from stripe_simulator.account import Answer, Call, StripeAccount
from stripe_simulator.clock import Clock
from stripe_simulator.serving import RunningSimulator, running_simulator

__all__ = ["Answer", "Call", "Clock", "RunningSimulator", "StripeAccount", "running_simulator"]
