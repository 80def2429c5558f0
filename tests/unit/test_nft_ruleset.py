"""Which chains of nftables drop what comes in, and which of their rules are ours."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils import firewall_nftables
from ansible_collections.novnc.fleet.plugins.module_utils.firewall import Plan, openings
from ansible_collections.novnc.fleet.plugins.module_utils.nft_ruleset import Ruleset
from ansible_collections.novnc.fleet.plugins.module_utils.units import File, Link

INPUT = ("inet", "host", "input")
SERVICE = {"NeedDaemonReload": "no", "UnitFileState": "enabled"}

DROP: list[Any] = [{"drop": None}]
TCP_22 = {
    "match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}
}
FROM_SET = {
    "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@x"}
}
INVALID = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "invalid"}}
NOT_KNOWN = {
    "match": {"op": "!=", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}
}
ACCEPT = {"accept": None}


def chain(name: str = "input", table: str = "host", family: str = "inet", **keys: Any) -> Any:
    """Return a chain as nft prints it; a base chain of what comes in, if nothing else is said."""
    hook = {"type": "filter", "hook": "input", "prio": 0, "policy": "accept"}
    return {"chain": {"family": family, "table": table, "name": name, **hook, **keys}}


def plain(name: str) -> Any:
    """Return a chain that others jump to."""
    return {"chain": {"family": "inet", "table": "host", "name": name}}


def rule(expr: list[Any], place: tuple[str, str, str] = INPUT, **keys: Any) -> Any:
    """Return a rule as nft prints it."""
    named = dict(zip(("family", "table", "chain"), place, strict=True))
    return {"rule": {**named, "handle": 7, "expr": expr, **keys}}


def ours(expr: list[Any], handle: int = 9, place: tuple[str, str, str] = INPUT) -> Any:
    """Return a rule with our comment."""
    return rule([*expr, ACCEPT], place, comment="novnc-fleet", handle=handle)


def to(address: str, ports: Any) -> list[Any]:
    """Return the expressions of a rule of ours for an address."""
    protocol = "ip6" if ":" in address else "ip"
    left = {"payload": {"protocol": protocol, "field": "daddr"}}
    dport = {"payload": {"protocol": "tcp", "field": "dport"}}
    return [
        {"match": {"op": "==", "left": left, "right": address}},
        {"match": {"op": "==", "left": dport, "right": ports}},
    ]


def ruleset(*entries: Any) -> Ruleset:
    """Return a ruleset of these."""
    return Ruleset({"nftables": [{"metainfo": {"json_schema_version": 1}}, *entries]})


def plan(found: Ruleset, *listens: str, **keys: Any) -> Plan:
    """Plan for a ruleset."""
    known: Any = {
        "nft": "/usr/sbin/nft",
        "standing": dict.fromkeys(firewall_nftables.FILES),
        "service": SERVICE,
        **keys,
    }
    return firewall_nftables.plan(found, openings(listens), **known)


def told(made: Plan) -> list[str]:
    """Return the lines that nft is told."""
    return "".join(command.data for command in made.commands).splitlines()


JUMP = rule([{"jump": {"target": "more"}}])
MORE = ("inet", "host", "more")
VMAP = {"vmap": {"key": {"meta": {"key": "iif"}}, "data": "@by_name"}}
INLINE = {"vmap": {"key": {}, "data": {"set": [["lo", ACCEPT], ["eth0", {"drop": None}]]}}}
BY_NAME = {
    "map": {
        "family": "inet",
        "table": "host",
        "name": "by_name",
        "elem": [["lo", ACCEPT], ["eth0", {"goto": {"target": "more"}}]],
    }
}


@pytest.mark.parametrize(
    ("entries", "drops"),
    [
        ([chain()], False),
        ([chain(policy="drop")], True),
        ([chain(), rule(DROP)], True),
        ([chain(), rule([{"counter": {}}, {"reject": {"type": "tcp reset"}}])], True),
        ([chain(), rule([NOT_KNOWN, *DROP])], True),
        ([chain(), rule([TCP_22, ACCEPT])], False),
        ([chain(), rule([INVALID, *DROP])], False),
        ([chain(), rule([FROM_SET, *DROP])], False),
        ([chain(), JUMP, plain("more"), rule(DROP, MORE)], True),
        ([chain(), JUMP, plain("more"), rule([{"jump": {"target": "more"}}], MORE)], False),
        ([chain(), plain("more"), rule(DROP, MORE)], False),
        ([chain(), rule([INLINE])], True),
        ([chain(), rule([VMAP]), BY_NAME, plain("more"), rule(DROP, MORE)], True),
        ([chain(), rule([VMAP]), BY_NAME, plain("more"), rule([ACCEPT], MORE)], False),
        ([chain(policy="drop", hook="forward")], False),
        ([chain(policy="drop", type="nat")], False),
        ([chain(policy="drop", family="bridge")], False),
        ([chain(policy="drop", table="firewalld")], False),
        ([chain("INPUT", "filter", "ip", policy="drop")], False),
        ([chain("input", "filter", "ip", policy="drop")], True),
    ],
)
def test_chains_that_drop(entries: list[Any], drops: bool) -> None:
    assert bool(ruleset(*entries).dropping()) is drops


def test_rules_come_first_in_each_chain_that_drops() -> None:
    found = ruleset(
        chain(policy="drop"), chain("guard", "filter", "ip"), rule(DROP, ("ip", "filter", "guard"))
    )
    made = plan(found, "10.0.0.1:5900", "10.0.0.1:5901", "10.0.0.1:6081", "[::]:7000")
    one = "ip daddr 10.0.0.1 tcp dport { 5900-5901, 6081 }"
    assert sorted(told(made)) == [
        f'insert rule {where} accept comment "novnc-fleet"'
        for where in (
            f"inet host input {one}",
            "inet host input meta nfproto ipv4 tcp dport { 7000 }",
            "inet host input meta nfproto ipv6 tcp dport { 7000 }",
            f"ip filter guard {one}",
            "ip filter guard tcp dport { 7000 }",
        )
    ]
    keep = made.files[firewall_nftables.RULES_FILE]
    assert keep == File("".join(f"{line}\n" for line in told(made)))


def standing(made: Plan) -> dict[str, File | Link | None]:
    """Return the files that a plan leaves."""
    return dict(made.files)


RIGHT = ours(to("10.0.0.1", {"set": [{"range": [5900, 5902]}, 6081]}))
LISTENS = [f"10.0.0.1:{port}" for port in (5900, 5901, 5902, 6081)]


def test_what_is_right_is_left_alone() -> None:
    kept = standing(plan(ruleset(chain(policy="drop")), *LISTENS))
    assert not plan(ruleset(chain(policy="drop"), RIGHT), *LISTENS, standing=kept).changed


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [RIGHT, RIGHT],
        [rule(DROP), RIGHT],
        [ours(to("10.0.0.1", 5900))],
        [ours([INVALID])],
        [RIGHT, ours(to("10.0.0.2", 5900))],
    ],
)
def test_what_somebody_changed_is_mended(entries: list[Any]) -> None:
    kept = standing(plan(ruleset(chain(policy="drop")), *LISTENS))
    made = plan(ruleset(chain(policy="drop"), *entries), *LISTENS, standing=kept)
    handles = [entry["rule"]["handle"] for entry in entries if "comment" in entry["rule"]]
    assert told(made)[: len(handles)] == [
        f"delete rule inet host input handle {handle}" for handle in handles
    ]
    assert len(told(made)) == len(handles) + 1


def test_consoles_that_are_gone_leave_nothing() -> None:
    kept = standing(plan(ruleset(chain(policy="drop")), *LISTENS))
    made = plan(ruleset(chain(policy="drop"), RIGHT), standing=kept)
    assert told(made) == ["delete rule inet host input handle 9"]
    assert made.files == dict.fromkeys(firewall_nftables.FILES)
    assert made.closed == tuple(sorted(LISTENS))


def test_a_chain_that_drops_no_longer_gets_rid_of_our_rules() -> None:
    made = plan(ruleset(chain(), RIGHT), *LISTENS)
    assert told(made) == ["delete rule inet host input handle 9"]


def test_a_drop_in_that_systemd_has_not_read_is_read() -> None:
    kept = standing(plan(ruleset(chain(policy="drop")), *LISTENS))
    stale = {**SERVICE, "NeedDaemonReload": "yes"}
    made = plan(ruleset(chain(policy="drop"), RIGHT), *LISTENS, standing=kept, service=stale)
    assert [command.words for command in made.commands] == [("systemctl", "daemon-reload")]


def test_a_ruleset_that_something_else_loads_is_told() -> None:
    other = {**SERVICE, "UnitFileState": "disabled"}
    assert plan(ruleset(chain(policy="drop")), *LISTENS, service=other).warnings
    assert not plan(ruleset(chain(policy="drop")), service=other).warnings
    assert not plan(ruleset(chain(policy="drop")), *LISTENS).warnings
