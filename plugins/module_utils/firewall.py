# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What a host's firewall has to let through for its consoles, whichever firewall it is. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    TcpTarget,
    join,
    parse_address,
    parse_target,
)
from ansible_collections.novnc.fleet.plugins.module_utils.units import File

MARK = "novnc-fleet"
"""The comment of our rules, where a firewall knows comments."""

ANY = {4: "0.0.0.0", 6: "::"}  # noqa: S104 (nothing is bound here)
"""What stands for all addresses of an IP version."""


class FirewallError(Exception):
    """A firewall that is there did not do what it was told; a sentence with its own words."""


@dataclass(frozen=True, order=True)
class Opening:
    """TCP ports that are open on one address, from ``first`` to ``last``; see also `ANY`."""

    address: str
    first: int
    last: int

    @property
    def version(self) -> int:
        """The IP version, 4 or 6."""
        return ipaddress.ip_address(self.address).version

    @property
    def any_address(self) -> bool:
        """Whether it stands for all addresses of its IP version."""
        return self.address == ANY[self.version]

    def ports(self, dash: str) -> str:
        """Return the ports as firewalls write them, with a dash of theirs."""
        return str(self.first) if self.first == self.last else f"{self.first}{dash}{self.last}"

    @property
    def listens(self) -> set[str]:
        """Each port as ``address:port``."""
        return {join(self.address, port) for port in range(self.first, self.last + 1)}


def openings(listens: Iterable[str]) -> list[Opening]:
    """Return what has to be open for listeners, neighbouring ports as one.

    A listener on a loopback address needs nothing, one on ``::`` takes IPv4 too (ipv6(7)).

    Args:
        listens: ``address:port`` or ``[v6]:port``, as in consoles.json.

    Raises:
        ValueError: with a sentence that names what is no such listener.
    """
    wanted: dict[str, set[int]] = {}
    for text in listens:
        target = parse_target(text)
        address = parse_address(target.host) if isinstance(target, TcpTarget) else None
        if address is None or not isinstance(target, TcpTarget):
            raise ValueError(f"'{text}' is no listener; write 'address:port' or '[v6]:port'")
        if address.is_loopback:
            continue
        for name in ANY.values() if str(address) == ANY[6] else [str(address)]:
            wanted.setdefault(name, set()).add(target.port)
    return sorted(one for address, ports in wanted.items() for one in _merged(address, ports))


def _merged(address: str, ports: set[int]) -> list[Opening]:
    found: list[Opening] = []
    for port in sorted(ports):
        if found and found[-1].last == port - 1:
            found[-1] = Opening(address, found[-1].first, port)
        else:
            found.append(Opening(address, port, port))
    return found


def parse_ports(address: str, text: str, dash: str) -> list[Opening]:
    """Return the openings that a firewall writes as ``80,90:95``; the opposite of `ports`.

    Raises ValueError if it is something else.
    """
    pairs = [words.partition(dash) for words in text.split(",")]
    return [Opening(address, int(first), int(last or first)) for first, _, last in pairs]


def listens_of(found: Iterable[Opening]) -> set[str]:
    """Return every ``address:port`` of openings."""
    return {listen for opening in found for listen in opening.listens}


@dataclass(frozen=True)
class Command:
    """A command to run, and what it reads on its standard input."""

    words: tuple[str, ...]
    data: str = ""


@dataclass(frozen=True)
class Plan:
    """What has to be done to a host's firewall.

    Attributes:
        opened: Each ``address:port`` that is not open everywhere it should be.
        closed: Each ``address:port`` that is open somewhere and should not be.
        before: Our rules as text, by the place where they stand.
        after: The same after the plan has been carried out.
        files: Files to write first; None removes.
        commands: What to run then, in this order.
        warnings: What somebody should know.
    """

    opened: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, File | None] = field(default_factory=dict)
    commands: tuple[Command, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.files or self.commands)

    @property
    def diffs(self) -> list[tuple[str, str, str]]:
        """Each place whose rules change, with its rules before and after."""
        places = sorted({*self.before, *self.after})
        found = [(place, self.before.get(place, ""), self.after.get(place, "")) for place in places]
        return [one for one in found if one[1] != one[2]]


def difference(
    present: Mapping[str, Iterable[Opening]], wanted: Mapping[str, Iterable[Opening]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return `Plan.opened` and `Plan.closed` for openings by the place where they stand."""
    opened: set[str] = set()
    closed: set[str] = set()
    for place in {*present, *wanted}:
        there, needed = listens_of(present.get(place, ())), listens_of(wanted.get(place, ()))
        opened |= needed - there
        closed |= there - needed
    # What moves from one place to another is open all the time.
    closed -= {listen for found in wanted.values() for listen in listens_of(found)}
    return tuple(sorted(opened)), tuple(sorted(closed))
