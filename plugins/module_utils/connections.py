# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Connections of a host as ss(8) and the kernel print them. Pure."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    IPAddress,
    TcpTarget,
    join,
    parse_address,
    parse_target,
)

SS_TCP = ("ss", "--no-header", "--tcp", "--numeric", "--processes", "state", "established")
"""The question to ss(8) that `parse_tcp` reads the answer of."""

_LISTENING = "0A"
"""State of a TCP socket; TCP_LISTEN in the kernel's net/tcp_states.h."""

_UNIX_LISTENER = re.compile(r"^\S+: \S+ \S+ 00010000 \S+ \S+ +([0-9]+) (/.*)$", re.MULTILINE)
"""A row of ``/proc/net/unix`` with the flag __SO_ACCEPTCON of the kernel's linux/net.h."""

_CONNECTED = "03"
"""State of a unix socket; SS_CONNECTED in the kernel's linux/net.h."""


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


@dataclass(frozen=True)
class Listening:
    """A TCP socket that listens on this host.

    Attributes:
        address: Where; a wildcard stands for all addresses.
        port: Its port.
        inode: What no other socket of this host has, as long as it is there.
    """

    address: IPAddress
    port: int
    inode: int


def parse_proc(text: str) -> list[Listening]:
    """Return the listeners in ``/proc/net/tcp`` or ``/proc/net/tcp6`` (proc(5))."""
    found = []
    for row in (line.split() for line in text.splitlines()[1:]):
        if len(row) > 9 and row[3] == _LISTENING:
            host, _, port = row[1].partition(":")
            found.append(Listening(_address(host), int(port, 16), int(row[9])))
    return found


def _address(digits: str) -> IPAddress:
    """Return the address that the kernel prints as words of the machine's own byte order."""
    words = [digits[start : start + 8] for start in range(0, len(digits), 8)]
    packed = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    return ipaddress.ip_address(packed)


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


def unix_listeners(text: str) -> dict[str, int]:
    """Return the inodes of the listeners in ``/proc/net/unix`` (proc(5)) by their paths."""
    return {path: int(inode) for inode, path in _UNIX_LISTENER.findall(text)}


def unix_inodes(text: str) -> set[int]:
    """Return the inodes of the connected sockets in ``/proc/PID/net/unix`` (proc(5))."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {int(row[6]) for row in rows if len(row) > 6 and row[5] == _CONNECTED}
