"""How often a test does what has to go well each time: a few times, and all of them in a soak."""

from __future__ import annotations

import os

SOAK = "NOVNC_FLEET_SOAK"
"""Variable of the environment: 1 in `make soak`, which has the time for all of them."""


def times(soak: int, *, test: int) -> int:
    """Return a number of repetitions: ``soak`` in `make soak`, ``test`` in `make test`."""
    return soak if os.environ.get(SOAK) == "1" else test
