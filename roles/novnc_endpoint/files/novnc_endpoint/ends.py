# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The two ends of a session: the visitor's WebSocket and the connection to the VNC server.

Both read into one room that all sessions share: in asyncio, whoever is told that bytes have come
deals with them before anybody else reads. What cannot be written at once stays with the transport,
and from its high-water mark on the other end is not read: a slow reader slows its own session.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from typing import Protocol, cast

_ROOM = memoryview(bytearray(128 * 1024))
_HIGH_WATER = 128 * 1024
"""Bytes that may wait for a reader before the other end is no longer read."""


class Owner(Protocol):
    """What the ends of a session tell."""

    def received(self, end: End, data: memoryview) -> None:
        """Take what has come; ``data`` is only good until this returns."""

    def lost(self, end: End) -> None:
        """Know that the other side has gone."""


class End(asyncio.BufferedProtocol):
    """One end of a session.

    Attributes:
        peer: The other end of the same session, once there is one: it is not read while this one
            cannot write.
        blocked: Whether the other side takes less than it is sent.
    """

    def __init__(self, owner: Owner) -> None:
        self.peer: End | None = None
        self.blocked = False
        self._owner = owner
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a transport, new or from another protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the room."""
        return _ROOM

    def buffer_updated(self, nbytes: int) -> None:
        """Hand over what has come."""
        self._owner.received(self, _ROOM[:nbytes])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the other side has gone."""
        self._transport = None
        self._owner.lost(self)

    def pause_writing(self) -> None:
        """Have the peer wait."""
        self.blocked = True
        if self.peer:
            self.peer.pause()

    def resume_writing(self) -> None:
        """Let the peer go on."""
        self.blocked = False
        if self.peer:
            self.peer.resume()

    @property
    def open(self) -> bool:
        """Whether anything can still be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send; nothing happens where the other side has gone."""
        if data and self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        """Read no more for now."""
        if self._transport and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close once all is sent."""
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._transport:
            self._transport.abort()

    def unsent(self) -> int:
        """Return how many bytes wait for the other side, those in the kernel included.

        While an end is blocked nothing is added, so any change of this is progress.
        """
        if self._transport is None:
            return 0
        sock = self._transport.get_extra_info("socket")
        room = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
        return self._transport.get_write_buffer_size() + cast(int, struct.unpack("i", room)[0])
