# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Whether a container does its work, as its HEALTHCHECK asks.

A VNC server is spoken to as far as the login and no further: that is nobody's session, neither the
server's nor ours.
"""

from __future__ import annotations

import http.client
import ssl
import sys
from collections.abc import Callable
from contextlib import closing

from ansible_collections.novnc.fleet.plugins.module_utils.connect import connect_tcp, connect_unix
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, UnixTarget
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import NO_LOGIN, RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.stream import SocketStream

TIMEOUT = 4.0
"""Seconds for each question; docker gives all of them the time that the image says."""


def connect(target: TcpTarget | UnixTarget) -> SocketStream:
    """Return a connection. Raises HopError."""
    deadline = Deadline(TIMEOUT)
    if isinstance(target, UnixTarget):
        return connect_unix(target.path, deadline)
    return connect_tcp(target.host, target.port, deadline)


def speaks_rfb(target: TcpTarget | UnixTarget) -> bool:
    """See that a VNC server shakes hands; return whether it wants a login. Raises HopError."""
    with connect(target) as stream:
        return NO_LOGIN not in RfbClient(stream).knock().security_names


def fetched(where: TcpTarget | UnixTarget, path: str, *, tls: bool, host: str = "localhost") -> str:
    """Return what a listener of our own answers over HTTP, if that is 200. Raises HopError."""
    stream = connect(where)
    with closing(http.client.HTTPConnection(host, timeout=TIMEOUT)) as connection:
        stream.sock.settimeout(TIMEOUT)
        try:
            connection.sock = trusting().wrap_socket(stream.sock) if tls else stream.sock
            connection.request("GET", path, headers={"Host": host, "Connection": "close"})
            answer = connection.getresponse()
            content = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise HopError("http", f"the listener at {where} does not answer: {error}") from None
    if answer.status != http.HTTPStatus.OK:
        raise HopError("http", f"the listener at {where} answers {path} with {answer.status}")
    return content


def trusting() -> ssl.SSLContext:
    """Return what takes any certificate: who asks is in the same container."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def inside(listen: TcpTarget | UnixTarget) -> TcpTarget | UnixTarget:
    """Return where a listener is reached from the same container."""
    if isinstance(listen, UnixTarget):
        return listen
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (not to bind, to know)
    return TcpTarget(loopback.get(listen.host, listen.host), listen.port)


def check(*questions: Callable[[], object]) -> None:
    """Ask all questions; the first that fails makes the container unhealthy. Raises SystemExit."""
    try:
        for question in questions:
            question()
    except (HopError, OSError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
