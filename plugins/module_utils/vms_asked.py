# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""VNC servers that are known by their target only: asked whether they are there, and not too often.

Who looks every few seconds and leaves without a login is an intruder to some servers, and shut out:
TigerVNC with a password takes five such visits from one address, and visitors come from the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ansible_collections.novnc.fleet.plugins.module_utils.connections import Listening, parse_proc
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, parse_address
from ansible_collections.novnc.fleet.plugins.module_utils.probe import Console, probe_all
from ansible_collections.novnc.fleet.plugins.module_utils.verdict import state
from ansible_collections.novnc.fleet.plugins.module_utils.vms_typed import Typed

ASK_TIMEOUT = 2.0
"""Seconds in which a VNC server has to answer."""

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LOCALHOST = ("127.0.0.1", "::1")


class Asked:
    """Remembers which servers have answered: one on this host is asked once for each listener."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def states(self, consoles: Sequence[Typed]) -> list[str]:
        """Return ``running``, ``off`` or ``unknown`` for the VNC server of each console."""
        listening = _listening() if any(one.local for one in consoles) else []
        sockets = [_socket_of(one, listening) for one in consoles]
        ask = [
            one
            for one, socket in zip(consoles, sockets)
            if not socket or self._known.get(str(one.vnc)) != socket
        ]
        answers = probe_all([Console(str(one.vnc)) for one in ask], timeout=ASK_TIMEOUT)
        told = {one.name: state(answer.as_dict()) for one, answer in zip(ask, answers)}
        states = [told.get(one.name, "running") for one in consoles]
        self._known = {
            str(one.vnc): socket
            for one, socket, found in zip(consoles, sockets, states)
            if socket and found == "running"
        }
        return states


def _listening() -> list[Listening]:
    found = []
    for table in _TABLES:
        with suppress(OSError), open(table, encoding="ascii") as file:
            found += parse_proc(file.read())
    return found


def _socket_of(console: Typed, listening: Sequence[Listening]) -> int:
    """Return the inode of the socket that a console's server listens on; 0 if it is not here."""
    if not console.local or not isinstance(console.vnc, TcpTarget):
        return 0
    host, port = console.vnc.host, console.vnc.port
    addresses = {parse_address(one) for one in (_LOCALHOST if host == "localhost" else (host,))}
    for one in listening:
        if one.port == port and (one.address in addresses or one.address.is_unspecified):
            return one.inode
    return 0
