# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Connections of a host as ss(8) prints them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    TcpTarget,
    join,
    parse_address,
    parse_target,
)

SS_TCP = ("ss", "--no-header", "--tcp", "--numeric", "--processes", "state", "established")
SS_UNIX = ("ss", "--no-header", "--unix", "--numeric", "state", "connected")
"""Questions to ss(8) that `parse_tcp` and `parse_unix` read the answers of."""


@dataclass(frozen=True)
class Connection:
    """One end of a TCP connection on this host.

    Attributes:
        local: Where it is, as ``address:port``.
        peer: Where the other end is.
        processes: Numbers of the processes that hold it.
    """

    local: str
    peer: str
    processes: frozenset[int]

    def is_at(self, listen: str) -> bool:
        """Tell whether it came in at a listener, ``address:port``, which may be a wildcard."""
        target = parse_target(listen)
        if not isinstance(target, TcpTarget):
            return False
        address = parse_address(target.host)
        if address is not None and address.is_unspecified:
            return self.local.endswith(f":{target.port}")
        return self.local == join(target.host, target.port)


def parse_tcp(text: str) -> list[Connection]:
    """Return the connections that `SS_TCP` prints."""
    return list(_tcp(text))


def _tcp(text: str) -> Iterator[Connection]:
    for line in text.splitlines():
        words = line.split()
        local, peer = (_place(word) for word in (*words, "", "", "", "")[2:4])
        if local and peer:
            processes = frozenset(int(one) for one in re.findall(r",pid=([0-9]+),", line))
            yield Connection(local, peer, processes)


def _place(text: str) -> str:
    """Return ``address:port`` in its usual form, IPv4 as such; empty if it is none."""
    host, _, port = text.rpartition(":")
    address = parse_address(re.sub(r"%[^]]*", "", host))
    return join(str(address), int(port)) if address is not None and port.isdecimal() else ""


def parse_unix(text: str, path: str) -> set[int]:
    """Return the inodes of the sockets that are connected to a unix socket's path.

    Args:
        text: What `SS_UNIX` prints: a line has, from the end, the peer's inode after ``*``, and
            before these the own path and inode.
        path: Of the listening socket.
    """
    found = re.findall(r"^u_str\s+ESTAB\s+\d+\s+\d+\s+(.*?) \d+\s+\* (\d+)\s*$", text, re.MULTILINE)
    return {int(peer) for own, peer in found if own == path and peer != "0"}
