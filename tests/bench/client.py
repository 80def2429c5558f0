"""A WebSocket client that costs next to nothing, so that what is timed is the proxy."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from functools import cached_property

TIMEOUT = 20.0
"""Seconds until a proxy that does not answer makes the bench fail."""

HELLO = b"\x82\x0cRFB 003.008\n"
"""The first frame through a proxy of a VM: the VNC server's version (RFC 6143, 7.1.1)."""

MESSAGE = b"\xff\x00\x00\x01\x00\x00\x00\x61\x00\x00\x00\x1e"
"""A key as noVNC tells QEMU of it, 12 bytes."""
_MASK = b"\x12\x34\x56\x78"
ECHO_SENT = b"\x82\x8c" + _MASK + bytes(b ^ m for b, m in zip(MESSAGE, _MASK * 3, strict=True))
ECHO_BACK = b"\x82\x0c" + MESSAGE


class BenchError(Exception):
    """Something could not be measured; the text says what."""


@dataclass(frozen=True)
class Door:
    """Where a proxy listens: an IPv4 address, a port, and whether it speaks TLS."""

    address: str
    port: int
    tls: bool

    @property
    def host(self) -> str:
        """What a browser says where it goes: with the port, unless that is https's own."""
        return self.address if self.tls and self.port == 443 else f"{self.address}:{self.port}"

    @property
    def origin(self) -> str:
        """What a browser calls the page that it loaded from here."""
        return f"http{'s' if self.tls else ''}://{self.host}"

    @property
    def path(self) -> str:
        """Where the WebSocket is."""
        return "/websockify"

    @property
    def headers(self) -> str:
        """What else the request says, each header with its end of line."""
        return f"Origin: {self.origin}\r\n"

    @property
    def context(self) -> ssl.SSLContext:
        """How TLS is spoken."""
        return _TLS

    @cached_property
    def request(self) -> bytes:
        """What is sent to open the WebSocket (RFC 6455, section 4.1)."""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\n{self.headers}"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode("ascii")


def tls_context() -> ssl.SSLContext:
    """Trust anything: whom to trust is the same client's work for both sides."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_TLS = tls_context()


def open_session(
    door: Door, hello: bytes = HELLO, tls_session: ssl.SSLSession | None = None
) -> socket.socket:
    """Return a connection on which the proxy has upgraded and delivered ``hello``.

    ``tls_session`` is that of an earlier connection, as browsers keep it.

    Raises:
        BenchError: It answered something else.
        OSError: No connection, or no answer within `TIMEOUT`.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(TIMEOUT)
        sock.connect((door.address, door.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if door.tls:
            sock = door.context.wrap_socket(sock, session=tls_session)
        sock.sendall(door.request)
        _expect_answer(sock, hello)
    except BaseException:
        sock.close()
        raise
    return sock


def _expect_answer(sock: socket.socket, hello: bytes) -> None:
    """Read the upgrade's answer and the ``hello`` behind it. Raises BenchError."""
    answer, frame = b"", b""
    while not answer.endswith(b"\r\n\r\n") or len(frame) < len(hello):
        data = sock.recv(4096)
        answer, end, frame = (answer + frame + data).partition(b"\r\n\r\n")
        answer += end
        if not data or (end and not hello.startswith(frame)):
            break
    if not answer.startswith(b"HTTP/1.1 101") or frame != hello:
        raise BenchError(f"no console answered but {answer[:60] + frame[:20]!r}")


def visit(door: Door) -> float:
    """Return milliseconds from the TCP connect to the VNC server's first 12 bytes."""
    start = time.perf_counter()
    sock = open_session(door)
    elapsed = time.perf_counter() - start
    sock.close()
    return elapsed * 1e3


def echoes(
    sock: socket.socket, count: int, sent: bytes = ECHO_SENT, expected: bytes = ECHO_BACK
) -> list[float]:
    """Return microseconds that each of ``count`` messages of 12 bytes took there and back."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        sock.sendall(sent)
        back = sock.recv(64)
        while 0 < len(back) < len(expected) and (more := sock.recv(64)):
            back += more
        times.append((time.perf_counter() - start) * 1e6)
        if back != expected:
            raise BenchError(f"the echo came back as {back!r}")
    return times
