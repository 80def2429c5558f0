"""A console is opened the moment it is granted, or not at all: nothing may come between."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Any

import pytest

from tests.gateway.conftest import journal
from tests.gateway.visitor import ADDRESS, COOKIE, HANDSHAKE, context, name_shown

PATH = "/vm/db01/websockify"
WITH_A_BODY = [
    {"Transfer-Encoding": "chunked"},
    {"transfer-encoding": "CHUNKED"},
    {"Transfer-Encoding": "Chunked", "TE": "chunked"},
    {"TRANSFER-ENCODING": " chunked "},
    {"Content-Length": "5"},
    {"content-LENGTH": "05"},
    {"Content-Length": "1", "Expect": "100-continue"},
    {"Content-Length": "5", "Transfer-Encoding": "chunked"},
    {"Transfer-Encoding": "chunked", "Content-Length": "0"},
    {"Transfer-Encoding": "identity"},
    {"Transfer-Encoding": "gzip, chunked"},
    {"Content-Length": "0, 5"},
]
OTHERS: list[tuple[int, dict[str, str | None]]] = [
    (426, {"Upgrade": None}),
    (426, {"Upgrade": "h2c"}),
    (426, {"Upgrade": "websocket, h2c"}),
    (426, {"Upgrade": "websockets"}),
    (426, {"Sec-WebSocket-Version": None}),
    (426, {"Sec-WebSocket-Version": "8"}),
    (426, {"Sec-WebSocket-Version": "13, 8"}),
    (400, {"Sec-WebSocket-Key": None}),
    (400, {"Sec-WebSocket-Key": ""}),
    (400, {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ="}),
    (400, {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==="}),
    (400, {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZ==="}),
    (400, {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZ\u00e4=="}),
    (400, {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="}),
]


def connected(*protocols: str) -> ssl.SSLSocket:
    """Return a connection to the gateway."""
    tls = context()
    tls.set_alpn_protocols(list(protocols))
    return tls.wrap_socket(
        socket.create_connection((ADDRESS, 443), timeout=60), server_hostname=ADDRESS
    )


def status(cookie: str, changes: dict[str, str | None], *, protocol: str = "HTTP/1.1") -> int:
    """Return how an upgrade request is answered of which no body ever comes."""
    sent = {**HANDSHAKE, "Cookie": f"{COOKIE}={cookie}", **changes}
    head = "".join(f"{key}: {value}\r\n" for key, value in sent.items() if value is not None)
    with connected("http/1.1") as line:
        line.sendall(f"GET {PATH} {protocol}\r\n{head}\r\n".encode("latin-1"))
        return int(line.recv(4096).split()[1])


def opened(gateway: Any) -> int:
    """Return how many consoles have been granted so far."""
    return sum(one["event"] == "console-start" for one in journal(gateway))


@pytest.mark.parametrize("changes", WITH_A_BODY, ids=str)
def test_a_body_is_refused_before_it_comes(
    gateway: Any, cookies: dict[str, str], changes: dict[str, str | None]
) -> None:
    before = opened(gateway)
    # Had the console been granted, it would open whenever the visitor ends the body.
    assert status(cookies["ada"], changes) in (400, 501)
    assert opened(gateway) == before


@pytest.mark.parametrize(("refusal", "changes"), OTHERS, ids=str)
def test_what_is_no_handshake_is_refused(
    gateway: Any, cookies: dict[str, str], refusal: int, changes: dict[str, str | None]
) -> None:
    before = opened(gateway)
    assert status(cookies["ada"], changes) == refusal
    assert opened(gateway) == before


@pytest.mark.parametrize("protocol", ["HTTP/1.0", "HTTP/1.2"])
def test_other_protocols_are_refused(cookies: dict[str, str], protocol: str) -> None:
    assert status(cookies["ada"], {}, protocol=protocol) == 426


@pytest.mark.parametrize("ends", [True, False], ids=["no body", "a body"])
def test_http2_is_refused(cookies: dict[str, str], ends: bool) -> None:
    sent = {":method": "GET", ":scheme": "https", ":authority": ADDRESS, ":path": PATH}
    rest = {**HANDSHAKE, "Cookie": f"{COOKIE}={cookies['ada']}"}
    sent |= {key.lower(): value for key, value in rest.items() if key not in ("Host", "Connection")}
    # Literals without a table (RFC 7541, section 6.2.2), in HEADERS that end the stream or do not.
    block = b"".join(b"\x00" + text(key) + text(value) for key, value in sent.items())
    with connected("h2") as line:
        assert line.selected_alpn_protocol() == "h2"
        head = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
        line.sendall(head + frame(1, 0x4 | ends, 1, block))
        answer = b""
        while not (found := [one for one in frames(answer) if one[0] == 1]):
            answer += line.recv(4096)
    assert b"\x03426" in found[0][1]


def text(value: str) -> bytes:
    """Return a string as HPACK has it (RFC 7541, section 5.2), 126 characters at most."""
    assert len(value) < 127
    return bytes([len(value)]) + value.encode()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2 (RFC 9113, section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Return the whole frames among what has come, each with its kind."""
    found = []
    while len(data) >= 9 and len(data) >= (end := 9 + int.from_bytes(data[:3], "big")):
        found.append((data[3], data[9:end]))
        data = data[end:]
    return found


def test_what_a_browser_sends_opens_it(cookies: dict[str, str]) -> None:
    assert status(cookies["ada"], {"Content-Length": "0"}) == 101
    assert (
        status(cookies["ada"], {"Upgrade": "WebSocket", "Connection": "keep-alive, Upgrade"}) == 101
    )
    assert name_shown("db01", cookies["ada"]) == "QEMU (db01)"
