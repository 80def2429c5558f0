# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""VNC servers and WebSocket proxies of a few lines, for the tests beside this file."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.novnc.fleet.plugins.module_utils.hops import StreamClosedError
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream
from hypothesis import HealthCheck, settings

untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For Hypothesis: no test fails because the machine is slow."""

VERSION = b"RFB 003.008\n"
NAME = b"QEMU (web01)"


class ScriptedStream(ByteStream):
    """Plays pieces of bytes, then closes; keeps in ``sent`` what it is sent."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self.sent = b""
        self._pieces = list(pieces)

    def _receive(self) -> bytes:
        if not self._pieces:
            raise StreamClosedError("rfb", "the script is over")
        return self._pieces.pop(0)

    def send(self, data: bytes) -> None:
        """Keep ``data``."""
        self.sent += data

    def close(self) -> None:
        """Do nothing."""


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def server_init(width: int = 4, height: int = 3, name: bytes = NAME) -> bytes:
    return struct.pack(">HH16x", width, height) + text(name)


def greeting(width: int = 4, height: int = 3, name: bytes = NAME) -> bytes:
    """Return all that a server says until the handshake is done: version 3.8, no login."""
    return VERSION + b"\x01\x01" + b"\x00\x00\x00\x00" + server_init(width, height, name)


def rectangle(x: int, y: int, width: int, height: int, rgb: bytes) -> bytes:
    """Return a raw rectangle of RGB pixels, in the format that the client asks for."""
    pixels = b"".join(rgb[i : i + 3] + b"\xee" for i in range(0, len(rgb), 3))
    return struct.pack(">HHHHi", x, y, width, height, 0) + pixels


def update(*rectangles: bytes) -> bytes:
    return struct.pack(">BxH", 0, len(rectangles)) + b"".join(rectangles)


def frame(opcode: int, payload: bytes = b"", final: bool = True) -> bytes:
    """Return a WebSocket frame as servers send it."""
    first = opcode | (0x80 if final else 0)
    if len(payload) < 126:
        return struct.pack(">BB", first, len(payload)) + payload
    if len(payload) < 65536:
        return struct.pack(">BBH", first, 126, len(payload)) + payload
    return struct.pack(">BBQ", first, 127, len(payload)) + payload


def switching_protocols(key: bytes, extra: str = "") -> bytes:
    """Return the HTTP answer that makes a WebSocket."""
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key + guid, usedforsecurity=False).digest()).decode()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    return f"{head}Sec-WebSocket-Accept: {accept}\r\n{extra}\r\n".encode()


def read_request(connection: socket.socket) -> bytes:
    """Return an HTTP request up to its empty line."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            break
        request += byte
    return request


def accept_websocket(connection: socket.socket) -> bytes:
    """Answer a WebSocket request; return it."""
    request = read_request(connection)
    key = re.search(rb"Sec-WebSocket-Key: (\S+)\r\n", request)
    assert key, request
    connection.sendall(switching_protocols(key[1]))
    return request


def says(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Return a handler that sends each piece, then waits until the client goes."""

    def handle(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
        while connection.recv(65536):
            pass

    return handle


def proxies(*pieces: bytes) -> Callable[[socket.socket], None]:
    """Return the handler of a WebSocket proxy that sends pieces of frames."""

    def handle(connection: socket.socket) -> None:
        accept_websocket(connection)
        says(*pieces)(connection)

    return handle


@contextmanager
def serve(
    handle: Callable[[socket.socket], None], *, host: str = "127.0.0.1", path: Path | None = None
) -> Iterator[str]:
    """Serve connections one after the other, and yield the address in our notation.

    Args:
        handle: Called with each connection, which is closed afterwards. What it raises fails the
            test, but for OSError: clients may go whenever they like.
        host: IP address to listen on, at any free port.
        path: Unix socket to listen on instead.
    """
    if path is None:
        listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
        port = listener.getsockname()[1]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        address = f"unix:{path}"
    failures: list[Exception] = []

    def loop() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    handle(connection)
                except OSError:
                    pass
                except Exception as error:
                    failures.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield address
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()
    if failures:
        raise failures[0]
