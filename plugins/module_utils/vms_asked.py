# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""VNC servers that are known by their target only: asked whether they are there, and not too often.

Who looks every few seconds and leaves without a login is an intruder to some servers, and shut out:
TigerVNC with a password takes five such visits from one address, and visitors come from the same.
It counts connections, whatever is said over them; only a login makes it forget them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ansible_collections.novnc.fleet.plugins.module_utils.connections import (
    Listening,
    parse_proc,
    unix_listeners,
)
from ansible_collections.novnc.fleet.plugins.module_utils.notation import UnixTarget, parse_address
from ansible_collections.novnc.fleet.plugins.module_utils.probe import (
    Console,
    ProbeResult,
    probe_all,
)
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import NO_LOGIN
from ansible_collections.novnc.fleet.plugins.module_utils.verdict import state
from ansible_collections.novnc.fleet.plugins.module_utils.vms_typed import Typed

ASK_TIMEOUT = 2.0
"""Seconds in which a VNC server has to answer."""

_TCP_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_UNIX_TABLE = "/proc/net/unix"
_LOCALHOST = ("127.0.0.1", "::1")


class _Server(NamedTuple):
    """A VNC server, as far as it can be told from another without asking.

    Attributes:
        target: Where it is.
        inode: Of the socket that it listens on; 0 if that is not on this host.
    """

    target: str
    inode: int


class Asked:
    """Remembers which servers have answered.

    One that listens on this host is asked once for each listener. Of others nothing tells that
    they have gone: they are asked each time, but for those that want a login. These are asked
    once, and taken to be there until somebody has not reached them.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Server] = {}

    def states(self, consoles: Sequence[Typed]) -> list[str]:
        """Return ``running``, ``off`` or ``unknown`` for the VNC server of each console."""
        inodes = _inodes([one for one in consoles if one.local])
        servers = {one.name: _Server(str(one.vnc), inodes.get(one.name, 0)) for one in consoles}
        ask = [one for one in consoles if self._known.get(one.name) != servers[one.name]]
        answers = probe_all([Console(str(one.vnc)) for one in ask], timeout=ASK_TIMEOUT)
        told = {one.name: answer for one, answer in zip(ask, answers)}
        self._known = {
            name: server
            for name, server in servers.items()
            if name not in told or _is_to_be_left_alone(server, told[name])
        }
        return [
            state(told[one.name].as_dict()) if one.name in told else "running" for one in consoles
        ]

    def forget(self, name: str) -> None:
        """Have a console's server asked again, as somebody has not reached it."""
        self._known.pop(name, None)


def _is_to_be_left_alone(server: _Server, answer: ProbeResult) -> bool:
    return answer.ok and (server.inode != 0 or NO_LOGIN not in answer.security_types)


def _inodes(consoles: Sequence[Typed]) -> dict[str, int]:
    """Return the inode of the socket that each console's server listens on; 0 if there is none."""
    if not consoles:
        return {}
    tcp = [one for table in _TCP_TABLES for one in parse_proc(_read(table))]
    unix = unix_listeners(_read(_UNIX_TABLE))
    return {
        one.name: unix.get(one.vnc.path, 0)
        if isinstance(one.vnc, UnixTarget)
        else _tcp_inode(one.vnc.host, one.vnc.port, tcp)
        for one in consoles
    }


def _read(table: str) -> str:
    with suppress(OSError), open(table, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
    return ""


def _tcp_inode(host: str, port: int, listening: Sequence[Listening]) -> int:
    addresses = {parse_address(one) for one in (_LOCALHOST if host == "localhost" else (host,))}
    for one in listening:
        if one.port == port and (one.address in addresses or one.address.is_unspecified):
            return one.inode
    return 0
