# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The hops on the way to a console, and the deadline they share.

Whatever goes wrong on the way is a `HopError`, which names the hop (``resolve``, ``connect``,
``tls``, ``http``, ``rfb``, ``refused``, ``name``) and says in one sentence what happened and,
where there is one, the mend.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

_MENDS = {  # what a system error means at a hop, and what to do
    ("connect", "ECONNREFUSED"): "; nothing listens there",
    ("connect", "ENOENT"): "; there is no such socket",
    ("connect", "EACCES"): "; this user may not open it",
    ("tls", "ECONNRESET"): "; if it speaks no TLS, use ws:// instead of wss://",
    ("http", "ECONNRESET"): "; if it speaks TLS only, use wss:// instead of ws://",
}


class HopError(Exception):
    """The way to a console ends at a hop.

    Attributes:
        hop: Name of the hop, such as ``"connect"``.
        errno_name: Name of the system's error, such as ``"ECONNREFUSED"``, if it was one.
        http_status: Status of the HTTP answer, if there was one.
    """

    def __init__(
        self,
        hop: str,
        message: str,
        *,
        errno_name: str | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.hop = hop
        self.errno_name = errno_name
        self.http_status = http_status


class StreamClosedError(HopError):
    """The other side closed the stream in good order."""


class Deadline:
    """A number of seconds from now, for all blocking calls together.

    Attributes:
        seconds: The whole time allowed.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._start = time.monotonic()

    def remaining(self) -> float:
        """Return the seconds left, always more than 0 (0 would make a socket non-blocking).

        Raises:
            socket.timeout: None are left.
        """
        left = self._start + self.seconds - time.monotonic()
        if left <= 0:
            raise socket.timeout("deadline passed")
        return left

    def elapsed_ms(self, moment: float | None = None) -> float:
        """Return the milliseconds from the start to ``moment`` (``time.monotonic()``; or now)."""
        end = time.monotonic() if moment is None else moment
        return round((end - self._start) * 1000, 1)


@contextmanager
def hop(name: str, step: str, deadline: Deadline) -> Iterator[None]:
    """Turn a system error in the body into a `HopError`.

    Args:
        name: The hop.
        step: What the body tries, as in "cannot ``step``".
        deadline: Its seconds are named when time runs out.
    """
    try:
        yield
    except socket.timeout as error:
        message = f"cannot {step}: no answer within {deadline.seconds:g} s"
        raise HopError(name, message, errno_name="ETIMEDOUT") from error
    except OSError as error:
        code = None if isinstance(error, ssl.SSLError) else errno.errorcode.get(error.errno or 0)
        reason = error.strerror or str(error)
        message = f"cannot {step}: {reason}{_MENDS.get((name, code or ''), '')}"
        raise HopError(name, message, errno_name=code) from error
