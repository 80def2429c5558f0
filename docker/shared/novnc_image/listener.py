# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The listening socket, which systemd would hold on a host."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    TcpTarget,
    UnixTarget,
    parse_address,
    parse_target,
)

from novnc_image.environment import WrittenError

_BACKLOG = 1024
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 20,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
}
"""A visitor that has vanished is noticed in 35 s, as by the units of the roles."""
_SOCKET_MODE = 0o660


def parse_listen(text: str) -> TcpTarget | UnixTarget:
    """Return where to listen. Raises WrittenError."""
    try:
        found = parse_target(text)
    except ValueError as error:
        raise WrittenError(f"LISTEN: {error}") from None
    if isinstance(found, TcpTarget) and parse_address(found.host) is None:
        raise WrittenError(
            f"LISTEN is {text!r}, and {found.host!r} is no IP address; write such as 0.0.0.0:6080"
        )
    return found


def listen(where: TcpTarget | UnixTarget, written: str = "LISTEN") -> socket.socket:
    """Return a socket that listens.

    Args:
        where: The address.
        written: What people have written it as.

    Raises:
        WrittenError: It cannot be had.
    """
    sock = socket.socket(_family(where))
    try:
        if isinstance(where, UnixTarget):
            _bind_unix(sock, where.path)
        else:
            _bind_tcp(sock, where)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise WrittenError(
            f"{written} is '{where}', which cannot be had: {error.strerror}"
        ) from None
    return sock


def _family(where: TcpTarget | UnixTarget) -> socket.AddressFamily:
    if isinstance(where, UnixTarget):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in where.host else socket.AF_INET


def _bind_tcp(sock: socket.socket, where: TcpTarget) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, number in _KEEPALIVE.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, number)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind((where.host, where.port))


def _bind_unix(sock: socket.socket, path: str) -> None:
    _remove_stale(path)
    sock.bind(path)
    os.chmod(path, _SOCKET_MODE)


def _remove_stale(path: str) -> None:
    """Remove a socket on which nobody listens any more. Raises OSError."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return  # bind() says that there is something
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
