# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Byte streams under a deadline: what every protocol here is spoken over."""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

from ansible_collections.novnc.fleet.plugins.module_utils.hops import (
    Deadline,
    StreamClosedError,
    hop,
)

_CHUNK = 65536
_Stream = TypeVar("_Stream", bound="ByteStream")


class ByteStream(ABC):
    """Bytes both ways; close it, or use it in ``with``.

    Attributes:
        first_byte_at: ``time.monotonic()`` at the first byte received; None before.
    """

    def __init__(self) -> None:
        self.first_byte_at: float | None = None
        self._unread = bytearray()

    @abstractmethod
    def _receive(self) -> bytes:
        """Block for the next bytes; may be empty, which does not mean the end.

        Raises:
            StreamClosedError: The other side closed in good order.
            HopError: Any other failure, and the deadline.
        """

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises `HopError`."""

    @abstractmethod
    def close(self) -> None:
        """Close the stream; a second call does nothing. Raises nothing."""

    def receive(self) -> bytes:
        """Return whatever comes next, at least one byte; errors as in `_receive`."""
        while not self._unread:
            self._fill()
        return self.read_exactly(len(self._unread))

    def read_exactly(self, count: int) -> bytes:
        """Return exactly ``count`` bytes; errors as in `_receive`."""
        while len(self._unread) < count:
            self._fill()
        data = bytes(self._unread[:count])
        del self._unread[:count]
        return data

    def unread(self) -> bytes:
        """Return the bytes received and not read so far, without reading them."""
        return bytes(self._unread)

    def _fill(self) -> None:
        data = self._receive()
        if data and self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
        self._unread += data

    def __enter__(self: _Stream) -> _Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SocketStream(ByteStream):
    """A connected socket as a byte stream.

    Attributes:
        sock: The socket; TLS puts its own in its place.
        hop: The hop which errors of this stream belong to; protocols on top move it on.
        peer: The other side, for messages.
        deadline: For every blocking call.
    """

    def __init__(self, sock: socket.socket, peer: str, deadline: Deadline) -> None:
        super().__init__()
        self.hop = "rfb"
        self.peer = peer
        self.deadline = deadline
        self.sock = sock

    def _receive(self) -> bytes:
        with hop(self.hop, f"read from {self.peer}", self.deadline):
            self.sock.settimeout(self.deadline.remaining())
            data = self.sock.recv(_CHUNK)
        if not data:
            after = "" if self.first_byte_at else " without sending a byte"
            raise StreamClosedError(self.hop, f"{self.peer} closed the connection{after}")
        return data

    def send(self, data: bytes) -> None:
        """Send all of ``data``. Raises `HopError`."""
        with hop(self.hop, f"write to {self.peer}", self.deadline):
            self.sock.settimeout(self.deadline.remaining())
            self.sock.sendall(data)

    def close(self) -> None:
        """Close the socket; a second call does nothing."""
        self.sock.close()
