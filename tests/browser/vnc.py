"""A VNC server that says what a test wants it to."""

from __future__ import annotations

import struct

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from websockets.sync.server import ServerConnection

ENDED, INTERNAL = 1008, 1011
"""Codes of close frames, as the endpoint uses them: somebody ended it; it failed."""


class Vnc:
    """A VNC server without a screen to speak of, which keeps what it is sent.

    Attributes:
        keys: Key events, each the keysym and whether it went down.
        pointed: How many pointer events there were.
    """

    def __init__(self, *, refusal: bytes = b"", password: str = "") -> None:
        self.refusal, self.password = refusal, password
        self.keys: list[tuple[int, bool]] = []
        self.pointed = 0
        self._open: set[ServerConnection] = set()

    def serve(self, client: ServerConnection) -> None:
        """Speak RFB 3.8 with one client until it goes."""
        client.send(b"RFB 003.008\n")
        client.recv()
        if self.refusal:
            client.send(b"\0")
            client.send(struct.pack(">I", len(self.refusal)) + self.refusal)
            client.close(INTERNAL, "refused")
        elif self._let_in(client):
            client.recv()
            pixels = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
            client.send(struct.pack(">HH", 64, 48) + pixels + struct.pack(">I", 4) + b"test")
            self._open.add(client)
            self._listen(client)

    def end(self, code: int, reason: str) -> None:
        """Close all connections."""
        while self._open:
            self._open.pop().close(code, reason)

    def _let_in(self, client: ServerConnection) -> bool:
        """Ask for the password, if there is one (RFC 6143, section 7.2.2)."""
        client.send(b"\1\2" if self.password else b"\1\1")
        client.recv()
        right = True
        if self.password:
            challenge = bytes(range(16))
            client.send(challenge)
            right = client.recv() == _des(self.password, challenge)
        # QEMU's words, with the NUL that it sends along.
        client.send(bytes(4) if right else struct.pack(">II", 1, 22) + b"Authentication failed\0")
        return right

    def _listen(self, client: ServerConnection) -> None:
        data = b""
        for message in client:
            assert isinstance(message, bytes)
            data += message
            while (length := _length(data)) and length <= len(data):
                if data[0] == 4:
                    self.keys.append((int.from_bytes(data[4:8], "big"), bool(data[1])))
                self.pointed += data[0] == 5
                data = data[length:]


def _length(data: bytes) -> int:
    """Return the length of the client's message that some bytes begin with; 0 if not yet known."""
    if data[:1] == b"\2":
        return 4 + 4 * int.from_bytes(data[2:4], "big") if len(data) >= 4 else 0
    return {0: 20, 3: 10, 4: 8, 5: 6}[data[0]] if data else 0


def _des(password: str, challenge: bytes) -> bytes:
    """Return the right answer: DES, each byte of the key with its bits the other way round."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0"))
    cipher = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 (VNC's own)
    return cipher.update(challenge)
