# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A WebSocket handshake (RFC 6455, section 4.2), after which the connection is a session's."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

from aiohttp import web
from ansible_collections.novnc.fleet.plugins.module_utils.websocket import accept_for

SUBPROTOCOL = "binary"


def handshake_fault(request: web.Request) -> str:
    """Return why a request cannot become a WebSocket; empty if it can."""
    headers = request.headers
    if headers.get("Upgrade", "").strip().lower() != "websocket":
        return "this address is a WebSocket's"
    if "upgrade" not in headers.get("Connection", "").lower():
        return "the header Connection does not ask for an upgrade"
    if headers.get("Sec-WebSocket-Version") != "13":
        return "only version 13 of WebSockets is spoken here"
    try:
        whole = len(base64.b64decode(headers.get("Sec-WebSocket-Key", ""), validate=True)) == 16
    except binascii.Error:
        whole = False
    return "" if whole else "the header Sec-WebSocket-Key is no key"


class HandOver(web.Response):  # type: ignore[misc]
    """The answer 101, and the end of HTTP on its connection.

    Raises ConnectionResetError when it is sent to somebody who has gone.
    """

    def __init__(self, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__(status=101)
        self._protocol = protocol

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Answer, and give the transport to the protocol."""
        transport, server = request.transport, request.protocol
        if transport is None or transport.is_closing():
            self._protocol.connection_lost(None)
            raise ConnectionResetError("the visitor has gone")
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_for(request.headers['Sec-WebSocket-Key'])}",
        ]
        offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        if SUBPROTOCOL in map(str.strip, offered):
            lines.append(f"Sec-WebSocket-Protocol: {SUBPROTOCOL}")
        transport.write("\r\n".join([*lines, "", ""]).encode())
        # For aiohttp the connection ends here; it must not close what it no longer has.
        server.transport = None
        server.connection_lost(None)
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing more."""
