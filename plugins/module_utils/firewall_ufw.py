# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Consoles' ports in ufw: as few rules as fit, known by their comment. Pure.

ufw has no call that takes several rules, but each may have 15 ports, of which a range counts as
two, so 200 consoles next to each other are one rule and at worst fourteen. Rules come last, so
that what an administrator denies stays denied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ansible_collections.novnc.fleet.plugins.module_utils.firewall import (
    MARK,
    Command,
    Opening,
    Plan,
    difference,
    listens_of,
    parse_ports,
)

RULES = ("/etc/ufw/user.rules", "/etc/ufw/user6.rules")
"""Where ufw keeps the rules it was told, one ``### tuple ###`` each; it is active or not."""

PORTS_MAX = 15

_ALLOW = re.compile(
    r"### tuple ### allow tcp (?P<ports>[0-9:,]+) (?P<to>\S+) any (0\.0\.0\.0/0|::/0) in"
    r"(?: comment=(?P<comment>[0-9a-f]*))?"
)

Rule = tuple[Opening, ...]
"""The ports of one rule, all on one address."""


def is_active(status: str) -> bool:
    """Tell from what ``ufw status`` prints whether ufw is in force."""
    return status.startswith("Status: active")


def parse_rules(text: str) -> tuple[list[Rule], list[Rule]]:
    """Return our rules and those of others that could be taken for ours, from `RULES`."""
    ours: list[Rule] = []
    others: list[Rule] = []
    for line in text.splitlines():
        match = _ALLOW.fullmatch(line.strip())
        if match:
            rule = tuple(parse_ports(match["to"].removesuffix("/0"), match["ports"], ":"))
            comment = bytes.fromhex(match["comment"] or "").decode(errors="replace")
            (ours if comment == MARK else others).append(rule)
    return ours, others


def rules_for(wanted: Iterable[Opening]) -> list[Rule]:
    """Return the fewest rules that open these ports and no others."""
    rules: list[list[Opening]] = []
    for opening in sorted(wanted):
        last = rules[-1] if rules and rules[-1][0].address == opening.address else []
        if not last or sum(map(_weight, [*last, opening])) > PORTS_MAX:
            rules.append([opening])
        else:
            last.append(opening)
    return [tuple(rule) for rule in rules]


def _weight(opening: Opening) -> int:
    return 1 if opening.first == opening.last else 2


def _missing(wanted: Iterable[Opening], there: set[str]) -> list[Opening]:
    """Return what of these ports is not there yet."""
    found: list[Opening] = []
    for opening in wanted:
        for port in range(opening.first, opening.last + 1):
            one = Opening(opening.address, port, port)
            if one.listens <= there:
                continue
            if found and (found[-1].address, found[-1].last) == (one.address, port - 1):
                one = Opening(one.address, found.pop().first, port)
            found.append(one)
    return found


def wanted_rules(ours: Sequence[Rule], wanted: Sequence[Opening]) -> list[Rule]:
    """Return the rules that there should be: those there that are right, and what they lack.

    Rules that change are a moment's gap each, so one more VM must not shift all ports by one
    rule. When that has made twice the rules needed, they are packed anew.
    """
    needed, there = listens_of(wanted), set[str]()
    kept: list[Rule] = []
    for rule in ours:
        if listens_of(rule) <= needed and not listens_of(rule) & there:
            kept.append(rule)
            there |= listens_of(rule)
    rules = [*kept, *rules_for(_missing(wanted, there))]
    fewest = rules_for(wanted)
    return fewest if len(rules) > 2 * len(fewest) else rules


def _words(rule: Rule) -> tuple[str, ...]:
    address = f"{rule[0].address}/0" if rule[0].any_address else rule[0].address
    return ("allow", "proto", "tcp", "to", address, "port", ",".join(o.ports(":") for o in rule))


def plan(text: str, wanted: Sequence[Opening]) -> Plan:
    """Return what has to be done.

    Args:
        text: the content of `RULES`, one after the other.
        wanted: what has to be open.
    """
    ours, others = parse_rules(text)
    rules = wanted_rules(ours, wanted)
    # ufw would put its comment on a rule that is there already, and so make it ours.
    add = [rule for rule in rules if rule not in ours and rule not in others]
    remove = [rule for rule in ours if rule not in rules]
    opened, closed = difference({"": [o for rule in [*ours, *others] for o in rule]}, {"": wanted})
    ours_closed = listens_of(o for rule in ours for o in rule)
    return Plan(
        opened=opened,
        closed=tuple(listen for listen in closed if listen in ours_closed),
        before={"ufw": _shown(ours)},
        after={"ufw": _shown([rule for rule in ours if rule not in remove] + add)},
        commands=(
            *(Command(("ufw", *_words(rule), "comment", MARK)) for rule in add),
            *(Command(("ufw", "delete", *_words(rule))) for rule in remove),
        ),
    )


def _shown(rules: Iterable[Rule]) -> str:
    return "".join(sorted(f"{' '.join(_words(rule))}\n" for rule in rules))
