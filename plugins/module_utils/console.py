# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The way to a console: its address, the connection, TLS and the WebSocket in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union
from urllib.parse import urlsplit

from ansible_collections.novnc.fleet.plugins.module_utils.connect import (
    connect_tcp,
    connect_unix,
    start_tls,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError
from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    TcpTarget,
    UnixTarget,
    parse_target,
)
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream, SocketStream
from ansible_collections.novnc.fleet.plugins.module_utils.websocket import upgrade

_DEFAULT_PORTS = {"ws": 80, "wss": 443}


@dataclass(frozen=True)
class WebSocketTarget:
    """A VNC server behind a WebSocket proxy (RFC 6455, section 3).

    Attributes:
        tls: Whether the scheme is wss.
        host: Name or IP address, without brackets.
        port: 1 to 65535.
        path: Path and query.
        host_header: The HTTP ``Host``.
    """

    tls: bool
    host: str
    port: int
    path: str
    host_header: str


ConsoleTarget = Union[WebSocketTarget, TcpTarget, UnixTarget]


def parse_console(text: str) -> ConsoleTarget:
    """Return what an address denotes.

    Args:
        text: ``ws://HOST:PORT/PATH``, ``wss://HOST:PORT/PATH``, or a VNC server as
            `notation.parse_target` reads it.

    Raises:
        ValueError: with a sentence that names the value and the mend.
    """
    if "://" not in text:
        return parse_target(text)
    target = _parse_url(text)
    if target is None:
        raise ValueError(
            f"{text!r} is no address of a console; write ws://HOST:PORT/PATH or wss://…"
        )
    return target


def _parse_url(text: str) -> WebSocketTarget | None:
    """Return a WebSocket URL's parts; None if it is none."""
    # Looked for in the text, since urlsplit drops some control characters without a word.
    # A WebSocket URL has no fragment; a login in it would not be sent.
    if not (text.isascii() and text.isprintable()) or set(text) & set(" #@"):
        return None
    try:
        parts = urlsplit(text)
        port = _DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    except ValueError:  # a bracket or port that is none
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or port == 0:
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebSocketTarget(parts.scheme == "wss", parts.hostname, port, path, parts.netloc)


def connect_console(target: ConsoleTarget, deadline: Deadline) -> SocketStream:
    """Go the hops ``resolve`` and ``connect``. Raises HopError."""
    if isinstance(target, UnixTarget):
        return connect_unix(target.path, deadline)
    return connect_tcp(target.host, target.port, deadline)


def enter_console(
    transport: SocketStream,
    target: ConsoleTarget,
    *,
    origin: str | None = None,
    ca: str | None = None,
    verify: bool = True,
    identity: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ByteStream:
    """Go the hops ``tls`` and ``http``, where there are such.

    Args:
        transport: The connection to ``target``.
        target: Where it goes.
        origin: HTTP ``Origin`` to send to a WebSocket proxy, as a browser does.
        ca: File of trusted certificates (PEM) for wss instead of the system's.
        verify: False takes any certificate for wss.
        identity: Files of a client certificate and its key for wss (PEM).
        headers: More HTTP headers, such as ``{"X-Console-User": "kim"}``.

    Returns:
        The stream to speak RFB over; closing it closes ``transport``.

    Raises:
        HopError: with ``transport`` left open.
    """
    if not isinstance(target, WebSocketTarget):
        return transport
    if target.tls:
        start_tls(transport, target.host, ca=ca, verify=verify, identity=identity)
    sent = {**({"Origin": origin} if origin else {}), **(headers or {})}
    return upgrade(transport, target.host_header, target.path, headers=sent)


def open_console(
    address: str,
    *,
    origin: str | None = None,
    ca: str | None = None,
    verify: bool = True,
    identity: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> ByteStream:
    """Return a stream to speak RFB over, for an `RfbClient`; close it after use.

    Args:
        address: As in `parse_console`.
        origin: As in `enter_console`, and so all that follow but the last.
        ca: See there.
        verify: See there.
        identity: See there.
        headers: See there.
        timeout: Seconds for everything done with the stream until it is closed.

    Raises:
        ValueError: ``address`` is none.
        HopError: The way ends at one of the hops ``resolve`` to ``http``.
    """
    target = parse_console(address)
    transport = connect_console(target, Deadline(timeout))
    try:
        return enter_console(
            transport,
            target,
            origin=origin,
            ca=ca,
            verify=verify,
            identity=identity,
            headers=headers,
        )
    except HopError:
        transport.close()
        raise
