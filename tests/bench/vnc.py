"""A visitor of a VM that speaks VNC, with a WebSocket around it or without."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.client import TIMEOUT, BenchError, Door, open_session

Place = Door | tuple[str, int]
"""A proxy's door, or the address and port of a VNC server itself."""

_VERSION = b"RFB 003.008\n"
_ZRLE = 16
_NO_MASK = bytes(4)
"""A mask that leaves everything as it is."""


class Vnc:
    """RFB as it comes: by itself, or in the frames of a WebSocket, which may cut it anywhere.

    Attributes:
        sock: The connection.
        size: Width and height of the screen, once the handshake is over.
    """

    def __init__(self, sock: socket.socket, *, framed: bool) -> None:
        self.sock, self.size = sock, (0, 0)
        self._framed = framed
        self._raw, self._rfb = bytearray(), bytearray()

    def send(self, data: bytes) -> None:
        """Send a message of less than 126 bytes."""
        head = bytes([0x82, 0x80 | len(data)]) + _NO_MASK if self._framed else b""
        self.sock.sendall(head + data)

    def read(self, count: int) -> bytes:
        """Return the next bytes. Raises BenchError, OSError."""
        while len(self._rfb) < count:
            data = self.sock.recv(262144)
            if not data:
                raise BenchError("a VNC session ended early")
            if self._framed:
                self._raw += data
                self._unpack()
            else:
                self._rfb += data
        found = bytes(self._rfb[:count])
        del self._rfb[:count]
        return found

    def _unpack(self) -> None:
        """Take whole frames out of what has come (RFC 6455, section 5.2)."""
        while len(self._raw) >= 2:
            short, start = self._raw[1] & 0x7F, 2
            if extra := {126: 2, 127: 8}.get(short, 0):
                start += extra
            length = int.from_bytes(self._raw[2:start], "big") if extra else short
            if len(self._raw) < start + length:
                return
            self._rfb += self._raw[start : start + length]
            del self._raw[: start + length]

    def enter(self) -> None:
        """Shake hands, up to ServerInit (RFC 6143, 7.1 to 7.3); the version has been read."""
        self.send(_VERSION)
        self.read(self.read(1)[0])
        self.send(b"\x01")
        if self.read(4) != bytes(4):
            raise BenchError("a VNC server wants a password")
        self.send(b"\x01")
        width, height, _format, length = struct.unpack(">HH16sI", self.read(24))
        self.read(length)
        self.size = width, height

    def first_frame(self) -> None:
        """Ask for the whole screen, compressed as most viewers have it, and read it (7.6.1)."""
        self.send(struct.pack(">BxHi", 2, 1, _ZRLE))
        self.send(struct.pack(">BBHHHH", 3, 0, 0, 0, *self.size))
        kind, rectangles = struct.unpack(">BxH", self.read(4))
        if kind != 0:
            raise BenchError(f"a VNC server sent the message {kind} instead of a frame")
        for _ in range(rectangles):
            *_area, encoding, length = struct.unpack(">HHHHiI", self.read(16))
            if encoding != _ZRLE:
                raise BenchError(f"a VNC server sent a rectangle of encoding {encoding}")
            self.read(length)


def connect(place: Place, tls_session: ssl.SSLSession | None = None) -> Vnc:
    """Return a visitor to whom the server has told its version. Raises BenchError, OSError."""
    if isinstance(place, Door):
        return Vnc(open_session(place, tls_session=tls_session), framed=True)
    sock = socket.create_connection(place, timeout=TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found = Vnc(sock, framed=False)
    found.read(len(_VERSION))
    return found


@contextmanager
def entered(place: Place) -> Iterator[Vnc]:
    """Have a visitor that is past the handshake."""
    visitor = connect(place)
    with visitor.sock:
        visitor.enter()
        yield visitor


def time_to_init(place: Place) -> float:
    """Return milliseconds from the TCP connect to ServerInit."""
    start = time.perf_counter()
    with entered(place):
        return (time.perf_counter() - start) * 1e3


def time_to_frame(place: Place) -> float:
    """Return milliseconds from the TCP connect to the whole first frame."""
    start = time.perf_counter()
    with entered(place) as visitor:
        visitor.first_frame()
        return (time.perf_counter() - start) * 1e3


class Returning:
    """A visitor with a session of TLS from before, as a browser that has loaded the page."""

    def __init__(self) -> None:
        self._session: ssl.SSLSession | None = None

    def time_to_init(self, place: Place) -> float:
        """Return milliseconds from the TCP connect to ServerInit. Raises BenchError."""
        start = time.perf_counter()
        visitor = connect(place, self._session)
        with visitor.sock as sock:
            visitor.enter()
            elapsed = time.perf_counter() - start
            if isinstance(sock, ssl.SSLSocket):
                if self._session and not sock.session_reused:
                    raise BenchError("a session of TLS was not taken up")
                self._session = sock.session
        return elapsed * 1e3
