# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Consoles' ports in firewalld: rich rules of a priority that is ours. Pure.

A policy or service could bear our name, but to make one at run time firewalld has to be
reloaded, and that costs every other program its own run-time rules. Rich rules go into both the
running and the permanent settings, and are known by their priority. As that is positive, what an
administrator denies stays denied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.firewall import (
    ANY,
    Command,
    Opening,
    Plan,
    difference,
    parse_ports,
)

PRIORITY = 5900
"""Of our rules; at any but 0 firewalld has no rules by itself, and 5900 is VNC's port."""

_RULE = re.compile(
    rf'rule priority="{PRIORITY}" family="ipv(?P<version>[46])"'
    r'(?: destination address="(?P<address>[^"]+)")?'
    r' port port="(?P<ports>[0-9-]+)" protocol="tcp" accept'
)


@dataclass(frozen=True)
class Zone:
    """A zone as ``--list-all-zones`` shows it.

    Attributes:
        interfaces: Those whose packets it judges.
        sources: Whose packets it judges whichever interface they come in by.
        rules: Our rules in it.
    """

    interfaces: frozenset[str]
    sources: frozenset[str]
    rules: frozenset[str]


def parse_zones(text: str) -> dict[str, Zone]:
    """Return what ``firewall-cmd --list-all-zones`` prints, by zone."""
    zones = {}
    for block in re.split(r"\n(?=\S)", text.strip("\n")):
        words = block.split(maxsplit=1)
        if words:
            zones[words[0]] = Zone(
                interfaces=_listed(block, "interfaces"),
                sources=_listed(block, "sources"),
                rules=frozenset(
                    line.strip() for line in block.splitlines() if _RULE.fullmatch(line.strip())
                ),
            )
    return zones


def _listed(block: str, key: str) -> frozenset[str]:
    match = re.search(rf"^  {key}:(.*)$", block, re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def parse_interfaces(text: str) -> dict[str, str]:
    """Return the interface of each address, from what ``ip -json address`` prints."""
    return {
        address["local"]: link["ifname"]
        for link in json.loads(text)
        for address in link.get("addr_info", [])
        if "local" in address
    }


def rule(opening: Opening) -> str:
    """Return a rich rule as firewalld itself writes it."""
    where = "" if opening.any_address else f' destination address="{opening.address}"'
    return (
        f'rule priority="{PRIORITY}" family="ipv{opening.version}"{where}'
        f' port port="{opening.ports("-")}" protocol="tcp" accept'
    )


def parse_rule(text: str) -> list[Opening]:
    """Return what one of our rules opens; nothing if it is none."""
    match = _RULE.fullmatch(text)
    if not match:
        return []
    return parse_ports(match["address"] or ANY[int(match["version"])], match["ports"], "-")


def zones_of(
    opening: Opening, zones: Mapping[str, Zone], default: str, interfaces: Mapping[str, str]
) -> set[str]:
    """Return the zones that judge the packets to an opening.

    That is the zone of the interface that has the address, or the default zone, and every zone
    of sources. A network of other VMs, which has a zone of its own, gets no way in.
    """
    by_interface = {one: name for name, zone in zones.items() for one in zone.interfaces}
    found = {name for name, zone in zones.items() if zone.sources}
    if opening.any_address:
        return {*found, *by_interface.values(), default}
    return {*found, by_interface.get(interfaces.get(opening.address, ""), default)}


def plan(
    wanted: Sequence[Opening],
    settings: Mapping[str, Mapping[str, Zone]],
    default: str,
    interfaces: Mapping[str, str],
) -> Plan:
    """Return what has to be done.

    Args:
        wanted: what has to be open.
        settings: the zones by the command that has them: ``firewall-cmd`` for what is in force,
            ``firewall-cmd --permanent`` or ``firewall-offline-cmd`` for what is kept.
        default: the default zone.
        interfaces: the interface of each address.
    """
    # Which zone judges what is known of the running firewall, the first of the settings.
    judges = next(iter(settings.values()))
    needed: dict[str, set[str]] = {}
    for opening in wanted:
        for zone in zones_of(opening, judges, default, interfaces):
            needed.setdefault(zone, set()).add(rule(opening))
    add: list[Command] = []
    remove: list[Command] = []
    present: dict[str, Iterable[str]] = {}
    after: dict[str, Iterable[str]] = {}
    for command, zones in settings.items():
        for name in sorted({*zones, *needed}):
            there = zones[name].rules if name in zones else frozenset()
            place = f"{command} --zone={name}"
            present[place], after[place] = there, needed.get(name, set())
            add += _call(place, "add", needed.get(name, set()) - there)
            remove += _call(place, "remove", there - needed.get(name, set()))
    opened, closed = difference(_opened(present), _opened(after))
    return Plan(
        opened=opened,
        closed=closed,
        before={place: _shown(rules) for place, rules in present.items()},
        after={place: _shown(rules) for place, rules in after.items()},
        # First what is new: what only gets other neighbours is open all the time.
        commands=(*add, *remove),
    )


def _call(place: str, verb: str, rules: Iterable[str]) -> list[Command]:
    """Return one command for all rules of a zone; firewalld takes any number."""
    options = [f"--{verb}-rich-rule={rule}" for rule in sorted(rules)]
    return [Command((*place.split(), *options))] if options else []


def _opened(places: Mapping[str, Iterable[str]]) -> dict[str, list[Opening]]:
    return {
        place: [opening for text in rules for opening in parse_rule(text)]
        for place, rules in places.items()
    }


def _shown(rules: Iterable[str]) -> str:
    return "".join(f"{rule}\n" for rule in sorted(rules))
