# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Listeners on one host, and which of them cannot live side by side. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    IPAddress,
    join,
    parse_address,
)


@dataclass(frozen=True)
class Listener:
    """A listener, wanted or there already.

    Attributes:
        address: Where it listens; a wildcard stands for all addresses of its family.
        port: Its TCP port.
        owner: Who it belongs to, as in "is taken by ``owner``".
        v6_only: Whether ``::`` leaves IPv4 alone (ipv6(7), IPV6_V6ONLY); not by default.
    """

    address: IPAddress
    port: int
    owner: str
    v6_only: bool = False

    def __str__(self) -> str:
        return join(str(self.address), self.port)

    def overlaps(self, other: Listener) -> bool:
        """Tell whether the two cannot be bound side by side, as Linux sees it."""
        if self.port != other.port:
            return False
        return self.address == other.address or self._covers(other) or other._covers(self)

    def _covers(self, other: Listener) -> bool:
        if not self.address.is_unspecified:
            return False
        if self.address.version == other.address.version:
            return True
        return self.address.version == 6 and not self.v6_only


def collisions(
    wanted: Sequence[Listener], taken: Sequence[Listener]
) -> Iterator[tuple[Listener, Listener]]:
    """Yield each wanted listener with one that stands in its way, taken or wanted earlier.

    The comparisons are by port, so that hundreds of consoles cost no more than their number.
    """
    by_port: dict[int, list[Listener]] = {}
    for listener in taken:
        by_port.setdefault(listener.port, []).append(listener)
    for listener in wanted:
        there = by_port.setdefault(listener.port, [])
        for other in there:
            if listener.overlaps(other):
                yield listener, other
                break
        there.append(listener)


SS = ("ss", "--no-header", "--listening", "--tcp", "--numeric", "--processes")
"""The question to ss(8) that `parse_ss` reads the answer of."""


def parse_ss(text: str) -> list[Listener]:
    """Return the listeners that `SS` prints.

    ss(8) writes ``*`` for a listener on ``::`` that takes IPv4 too, ``[::]`` for one that does
    not. The owner is the program and its process id, where ss may see it.
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        host, _, port = words[3].rpartition(":")
        address = parse_address("::" if host == "*" else re.sub(r"%[^]]*", "", host))
        if address is None or not port.isdecimal():
            continue
        process = re.search(r'users:\(\("([^"]*)",pid=([0-9]+)', line)
        owner = f"{process[1]}, process {process[2]}" if process else "an unknown program"
        found.append(Listener(address, int(port), owner, v6_only=host == "[::]"))
    return found
