# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A WebSocket client (RFC 6455) whose connection is a stream of bytes."""

from __future__ import annotations

import base64
import email
import hashlib
import os
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message

from ansible_collections.novnc.fleet.plugins.module_utils.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    Frame,
    FrameError,
    FrameParser,
    encode_frame,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError, StreamClosedError
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream, SocketStream

_MAX_HEAD = 32768
_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_STATUS_MENDS = {
    "200": "something serves files at that path, but no WebSocket",
    "400": "check that the address has the right scheme (ws or wss) and port",
    "401": "the proxy asks for a login, which a probe has not",
    "403": "check the proxy's access rules, such as its list of origins and of clients",
    "404": "check the path of the address",
    "405": "check the path of the address; websockify answers so where it expects a WebSocket",
    "502": "the reverse proxy does not reach its websockify; check that it runs",
    "503": "the reverse proxy does not reach its websockify; check that it runs",
    "504": "the reverse proxy does not reach its websockify; check that it runs",
}


class UpgradeError(HopError):
    """The server did not turn the HTTP connection into a WebSocket.

    Attributes:
        headers: Headers of the HTTP answer (names in any case); None if there was no answer.
    """

    def __init__(
        self, message: str, *, status: int | None = None, headers: Message | None = None
    ) -> None:
        super().__init__("http", message, http_status=status)
        self.headers = headers

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the server wants to be asked again; None if it does not say."""
        text = "" if self.headers is None else str(self.headers.get("Retry-After", "")).strip()
        return int(text) if text.isascii() and text.isdecimal() else None


class WebSocketStream(ByteStream):
    """The binary messages of a WebSocket as one stream of bytes."""

    def __init__(self, transport: SocketStream) -> None:
        super().__init__()
        self._transport = transport
        self._parser = FrameParser()
        self._close_sent = False

    def send(self, data: bytes) -> None:
        """Send ``data`` as one binary message. Raises `HopError`."""
        self._send_frame(BINARY, data)

    def close(self) -> None:
        """Say goodbye if the other side still listens, and close the connection."""
        self._send_close(struct.pack(">H", 1000))
        self._transport.close()

    def _receive(self) -> bytes:
        try:
            while (frame := self._parser.next_frame()) is None:
                self._parser.feed(self._transport.receive())
        except FrameError as error:
            raise HopError("rfb", f"{self._transport.peer} sent {error}") from error
        except StreamClosedError as error:
            raise self._closed("without a close frame") from error
        return self._handle(frame)

    def _handle(self, frame: Frame) -> bytes:
        """Return the data of a frame; answer a control frame."""
        if frame.opcode == CLOSE:
            self._send_close(frame.payload[:2])
            raise self._closed(_describe_close(frame.payload))
        if frame.opcode == PING:
            self._send_frame(PONG, frame.payload)
        return b"" if frame.opcode in (PING, PONG) else frame.payload

    def _closed(self, how: str) -> StreamClosedError:
        peer = self._transport.peer
        if self.first_byte_at is not None:
            return StreamClosedError(
                "rfb", f"the WebSocket proxy {peer} closed the connection ({how})"
            )
        return StreamClosedError(
            "rfb",
            f"the WebSocket proxy {peer} accepted the connection, but its VNC server did not "
            f"answer: closed {how}; check that the VM is on and the proxy's target for it right",
        )

    def _send_close(self, payload: bytes) -> None:
        if not self._close_sent:
            self._close_sent = True
            with suppress(HopError):  # a courtesy to a side that may be gone
                self._send_frame(CLOSE, payload)

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        self._transport.send(encode_frame(opcode, payload, os.urandom(4)))


def _describe_close(payload: bytes) -> str:
    """Return the code and reason of a close frame in words (RFC 6455, section 5.5.1)."""
    if len(payload) < 2:
        return "without a code"
    code = int.from_bytes(payload[:2], "big")
    reason = payload[2:].decode("utf-8", "replace")
    return f"with code {code} {reason!r}" if reason else f"with code {code}"


def upgrade(
    transport: SocketStream,
    host: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    subprotocol: str | None = "binary",
) -> WebSocketStream:
    """Ask for a WebSocket over a connected stream (RFC 6455, section 4.1).

    Args:
        transport: The stream, with TLS or without; closed by closing the result.
        host: Value of the ``Host`` header: host, with the port where it is not the default.
        path: Path and query.
        headers: More headers, such as ``{"Origin": "https://consoles.example"}``.
        subprotocol: Offered to the server, which need not take it up; None offers none.

    Raises:
        UpgradeError: The server answered, but with something else than a WebSocket.
        HopError: Hop ``http``: it did not answer.
    """
    transport.hop = "http"
    key = base64.b64encode(os.urandom(16)).decode()
    transport.send(_request(host, path, key, subprotocol, headers or {}))
    try:
        answer = _read_answer(transport)
    except StreamClosedError as error:
        raise UpgradeError(
            f"{error}; websockify does that when it knows no such token, so check the path of "
            "the address"
        ) from error
    _check_answer(answer, key, subprotocol)
    transport.hop = "rfb"
    return WebSocketStream(transport)


def accept_for(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` that answers a key (RFC 6455, section 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _ACCEPT_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _request(
    host: str, path: str, key: str, subprotocol: str | None, headers: Mapping[str, str]
) -> bytes:
    fields = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        **({"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}),
        **headers,
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    for line in lines:
        if not (line.isascii() and line.isprintable()):
            raise UpgradeError(f"{line!r} cannot be sent: only printable ASCII can")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _read_answer(transport: SocketStream) -> tuple[str, Message]:
    """Return status and headers of the HTTP answer. Raises HopError of hop ``http``."""
    head = transport.read_exactly(5)
    if head != b"HTTP/":
        raise UpgradeError(_explain_no_http(transport.peer, head + transport.unread()))
    while not head.endswith(b"\r\n\r\n"):
        if len(head) > _MAX_HEAD:
            raise UpgradeError(f"{transport.peer} sends more than {_MAX_HEAD} bytes of headers")
        head += transport.read_exactly(1)
    status_line, fields = head.decode("latin-1").split("\r\n", 1)
    return status_line, email.message_from_string(fields)


def _explain_no_http(peer: str, head: bytes) -> str:
    mend = ""
    if head.startswith(b"RFB "):
        mend = "; that is a VNC server, so address it as HOST:PORT without ws://"
    elif head[:1] in (b"\x15", b"\x16"):  # TLS records: alert, handshake (RFC 8446, section 5.1)
        mend = "; that is TLS, so use wss:// instead of ws://"
    return f"{peer} does not answer in HTTP but with {head[:40]!r}{mend}"


def _check_answer(answer: tuple[str, Message], key: str, subprotocol: str | None) -> None:
    """Check an HTTP answer as RFC 6455, section 4.1 demands. Raises UpgradeError."""
    status_line, headers = answer
    match = re.match(r"HTTP/\d\.\d (\d{3})(?: |$)", status_line)
    if not match:
        raise UpgradeError(f"not an HTTP status line: {status_line[:80]!r}", headers=headers)
    status = int(match[1])

    def value(name: str) -> str:
        return str(headers.get(name, "")).strip()

    if status != 101:
        where = f" (to {value('Location')!r})" if value("Location") else ""
        mend = f"; {_STATUS_MENDS[match[1]]}" if match[1] in _STATUS_MENDS else ""
        broken = f"the server answered {status_line!r}{where} instead of a WebSocket{mend}"
    elif value("Upgrade").lower() != "websocket" or "upgrade" not in value("Connection").lower():
        broken = "the server answered 101, but without upgrading to a WebSocket"
    elif value("Sec-WebSocket-Accept") != accept_for(key):
        broken = f"wrong Sec-WebSocket-Accept {value('Sec-WebSocket-Accept')!r}"
    elif value("Sec-WebSocket-Protocol") not in ("", subprotocol):
        broken = (
            f"the server chose the subprotocol {value('Sec-WebSocket-Protocol')!r}, not offered"
        )
    elif value("Sec-WebSocket-Extensions"):
        broken = f"the server chose extensions {value('Sec-WebSocket-Extensions')!r}, not offered"
    else:
        return
    raise UpgradeError(broken, status=status, headers=headers)
