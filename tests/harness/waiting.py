"""Waiting for what a test has set going."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Poll until a condition holds.

    Args:
        condition: Whatever is waited for.
        seconds: How long at most.
        what: What a failure is to say is missing.

    Returns:
        How many seconds it took.

    Raises:
        AssertionError: It does not come about.
    """
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - start
