# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A session through the endpoint's gate, and what an RFB server makes of what came through."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from novnc_endpoint.gate import Gate, Refused

SERVER, CLIENT = "server", "client"

Piece = tuple[str, bytes]


class Passage:
    """Passes pieces through a gate as the endpoint does.

    Attributes:
        gate: The gate.
        to_client: All that the client has got.
        to_server: All that the server has got.
        refused: Why the session has ended; None as long as it goes on.
        told: What the client has got after that, and so can show.
    """

    def __init__(self, mode: str = "control", expect_name: str | None = None) -> None:
        self.gate = Gate(mode, expect_name)
        self.to_client = self.to_server = self.told = b""
        self.refused: str | None = None

    def play(self, *pieces: Piece) -> Passage:
        """Pass pieces on, until one is refused."""
        for sender, data in pieces:
            if self.refused is None:
                self._pass(sender, data)
        return self

    def _pass(self, sender: str, data: bytes) -> None:
        try:
            for side in (sender, CLIENT if sender == SERVER else SERVER):
                if side == SERVER:
                    self.to_client += self.gate.from_server(data)
                else:
                    self.to_server += self.gate.from_client(data)
                data = b""
        except Refused as refused:
            self.refused = refused.reason
            self.told = self.gate.refuse(refused.reason).opening

    @property
    def result(self) -> tuple[bytes, bytes, str | None, int]:
        """What it came to; a refusal takes back what came in the same piece before it."""
        if self.refused is not None:
            return b"", b"", self.refused, 0
        return self.to_client, self.to_server, None, self.gate.input_seen

    def agrees_with(self, other: Passage) -> bool:
        """Whether the same conversation, cut otherwise, came to the same.

        Once somebody is refused, the other side may have got more or less of what it was sent.
        """
        shown, shown_there = self.to_client + self.told, other.to_client + other.told
        alike = shown.startswith(shown_there) or shown_there.startswith(shown)
        return alike and self.result == other.result


def bytewise(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the same in pieces of one byte."""
    for sender, data in pieces:
        for byte in data:
            yield sender, bytes([byte])


def watched(stream: bytes) -> list[tuple[int, bytes]]:
    """Read what a server got from somebody who watches, as RFC 6143 and its extensions say.

    Returns:
        The type and the body of each message.

    Raises:
        AssertionError: There is something that must not have come through, or half a message.
    """
    messages = []
    while stream:
        kind = stream[0]
        if kind == 2:
            length = 4 + 4 * struct.unpack_from(">H", stream, 2)[0]
        elif kind == 248:
            length = 9 + stream[8]
        else:
            lengths = {0: 20, 3: 10, 150: 10}
            assert kind in lengths, f"message {kind} must not come through: {stream[:20]!r}"
            length = lengths[kind]
        assert len(stream) >= length, f"half a message: {stream[:20]!r}"
        messages.append((kind, stream[1:length]))
        stream = stream[length:]
    return messages


def messages(to_client: bytes, to_server: bytes) -> bytes | None:
    """Return what a server got beyond the handshake (RFC 6143, sections 7.1 to 7.3).

    Args:
        to_client: All that the client got.
        to_server: All that the server got.

    Returns:
        None if it was sent something that nobody can look into.

    Raises:
        AssertionError: The server was asked for a screen of the client's own.
    """
    if to_server[:12] == b"RFB 003.003\n":
        security, at = to_client[12:16].lstrip(b"\0"), 12
    else:
        security, at = to_server[12:13], 13
    if security not in (b"", b"\x01", b"\x02"):
        return None
    at += 16 * (security == b"\x02")
    assert to_server[at : at + 1] in (b"", b"\x01"), "the server was asked to throw others out"
    return to_server[at + 1 :]
