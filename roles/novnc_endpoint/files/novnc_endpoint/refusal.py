# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""How a visitor is turned away so that it can show why (RFC 6143, section 7.1); pure."""

from __future__ import annotations

import struct
from typing import Union

Buffer = Union[bytes, bytearray, memoryview]

VERSION = b"RFB 003.008\n"
V33 = b"RFB 003.003\n"
NO_SECURITY = b"\x00"
"""Zero security types, after which a reason follows (7.1.2)."""
NO_SECURITY_33 = b"\x00\x00\x00\x00"
"""The same for clients of version 3.3 (appendix A.1)."""


class Refused(Exception):  # noqa: N818 (it is no error of this program)
    """A visitor has to go.

    Attributes:
        reason: Why, in a sentence for a person.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def text(reason: str) -> bytes:
    """Return a reason as it stands on the wire.

    noVNC, up to 1.7 at least, shows each byte as one character, so it is Latin-1: plain ASCII is
    the same everywhere, an umlaut in a VM's name is right in noVNC, and what has no place in
    Latin-1 becomes a question mark.
    """
    encoded = reason.encode("latin-1", "replace")
    return struct.pack(">I", len(encoded)) + encoded


def refusal(reason: str, client_version: bytes = VERSION) -> bytes:
    """Return what a server says that turns a visitor away instead of asking it to log in.

    Args:
        reason: A sentence for a person.
        client_version: The 12 bytes with which the client has answered `VERSION`.
    """
    return (NO_SECURITY_33 if client_version == V33 else NO_SECURITY) + text(reason)


class Refusal:
    """Turns one visitor away: send `opening`, then whatever `from_client` returns until `done`.

    The two must not be merged: noVNC 1.3 takes one step of the handshake for each message.

    Attributes:
        opening: What to send first; may be empty.
        done: All has been said, the connection may be closed.
    """

    def __init__(self, reason: str, opening: bytes = VERSION, *, done: bool = False) -> None:
        """Turn away a visitor that has sent nothing yet, or with ``done`` only say ``opening``."""
        self.opening = opening
        self.done = done
        self._reason = reason
        self._version = b""

    def from_client(self, data: Buffer) -> bytes:
        """Take what the client sends; return what to send to it, which is something only once."""
        if self.done:
            return b""
        self._version += bytes(data[: len(VERSION) - len(self._version)])
        self.done = len(self._version) == len(VERSION)
        return refusal(self._reason, self._version) if self.done else b""
