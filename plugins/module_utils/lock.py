# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""One run at a time on a host."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOCK_TIMEOUT = 300
"""Seconds to wait for another run on the same host."""


@contextmanager
def locked(directory: str) -> Iterator[None]:
    """Hold the lock on a directory, which leaves nothing behind.

    Raises:
        TimeoutError: if another run holds it for too long.
    """
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    words = f"another run has held the lock on {directory} for {LOCK_TIMEOUT} s"
                    raise TimeoutError(f"{words}; end it, or wait for it") from None
                time.sleep(0.2)
        yield
    finally:
        os.close(lock)
