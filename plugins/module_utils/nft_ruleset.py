# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A ruleset of nftables as nft prints it: which chains drop what comes in, which rules are ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.firewall import ANY, MARK, Opening

OTHERS_TABLES = {"firewalld", "libvirt_network", "docker-bridges"}
"""Tables whose programs write them anew as they please."""

FAMILIES = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}
"""Families of tables that see what comes in, and the IP versions that they see."""

Place = tuple[str, str, str]
"""A chain: family, table, name."""


@dataclass(frozen=True)
class OurRule:
    """A rule with our comment; ``opens`` is None if it is not as we wrote it."""

    handle: int
    opens: tuple[Opening, ...] | None
    effective: bool


class Ruleset:
    """A ruleset, as ``nft -j list ruleset`` prints it, once it has been read as JSON."""

    def __init__(self, ruleset: Mapping[str, Any]) -> None:
        self._chains: dict[Place, dict[str, Any]] = {}
        self._rules: dict[Place, list[dict[str, Any]]] = {}
        self._maps: dict[tuple[str, str, str], Any] = {}
        for entry in ruleset["nftables"]:
            for kind, one in entry.items():
                if kind == "chain":
                    self._chains[one["family"], one["table"], one["name"]] = one
                elif kind == "rule":
                    place = one["family"], one["table"], one["chain"]
                    self._rules.setdefault(place, []).append(one)
                elif kind == "map":
                    self._maps[one["family"], one["table"], one["name"]] = one.get("elem", [])

    def dropping(self) -> list[Place]:
        """Return the base chains, of nobody but the administrator, that drop what comes in."""
        return [
            place
            for place, chain in self._chains.items()
            if chain.get("hook") == "input"
            and chain.get("type") == "filter"
            and not _is_others(place)
            and (chain.get("policy") == "drop" or self._drops(place, set()))
        ]

    def _drops(self, place: Place, seen: set[Place]) -> bool:
        if place in seen:
            return False
        seen.add(place)
        return any(self._rule_drops(place, rule, seen) for rule in self._rules.get(place, []))

    def _rule_drops(self, place: Place, rule: Mapping[str, Any], seen: set[Place]) -> bool:
        # A list of who is turned away, or of who alone is not, is no business of ours.
        if any(_looks_at_sender(one) for one in rule["expr"]):
            return False
        return any(
            not target or self._drops((*place[:2], target), seen)
            for target in self._verdicts(place, rule["expr"])
        )

    def _verdicts(self, place: Place, value: Any) -> Iterator[str]:
        """Yield the chains that an expression leads to, and an empty text if it drops."""
        if isinstance(value, list):
            for one in value:
                yield from self._verdicts(place, one)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if key in ("drop", "reject"):
                    yield ""
                elif key in ("jump", "goto"):
                    yield inner["target"]
                elif key == "vmap" and isinstance(inner["data"], str):
                    elements = self._maps.get((*place[:2], inner["data"].lstrip("@")), [])
                    yield from self._verdicts(place, elements)
                else:
                    yield from self._verdicts(place, inner)

    def ours(self) -> dict[Place, list[OurRule]]:
        """Return the rules with our comment, by chain; effective is what nothing drops before."""
        found: dict[Place, list[OurRule]] = {}
        for place, rules in self._rules.items():
            effective = True
            for rule in rules:
                if rule.get("comment") == MARK:
                    one = OurRule(rule["handle"], parse_rule(place[0], rule["expr"]), effective)
                    found.setdefault(place, []).append(one)
                elif self._rule_drops(place, rule, set()):
                    effective = False
        return found


def _is_others(place: Place) -> bool:
    family, table, chain = place
    # Those of iptables-nft, and so of ufw's and docker's, bear the names that iptables has.
    return family not in FAMILIES or table in OTHERS_TABLES or (table, chain) == ("filter", "INPUT")


def _looks_at_sender(expression: Mapping[str, Any]) -> bool:
    match = expression.get("match", {})
    if "saddr" in str(match.get("left")):
        return True
    return (match.get("left"), match.get("right")) == ({"ct": {"key": "state"}}, "invalid")


def parse_rule(family: str, expressions: Sequence[Any]) -> tuple[Opening, ...] | None:
    """Return what a rule opens, or None if it is not one of those that `lines` makes."""
    address = ANY[FAMILIES[family][0]] if len(FAMILIES.get(family, ())) == 1 else ""
    ports: list[Any] = []
    for expression in expressions:
        match = expression.get("match")
        if expression == {"accept": None}:
            continue
        left = match and match["left"]
        if left == {"payload": {"protocol": "tcp", "field": "dport"}}:
            right = match["right"]
            ports = right["set"] if isinstance(right, dict) and "set" in right else [right]
        elif left == {"meta": {"key": "nfproto"}}:
            address = ANY[4 if match["right"] == "ipv4" else 6]
        elif left and left.get("payload", {}).get("field") == "daddr":
            address = match["right"]
        else:
            return None
    if not address or {"accept": None} not in expressions:
        return None
    pairs = [one["range"] if isinstance(one, dict) else (one, one) for one in ports]
    return tuple(sorted(Opening(address, first, last) for first, last in pairs))
