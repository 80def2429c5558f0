"""What a firewall has to let through, and what each firewall is told to come to that."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils import (
    firewall_firewalld,
    firewall_nftables,
    firewall_ufw,
)
from ansible_collections.novnc.fleet.plugins.module_utils.firewall import (
    Opening,
    Plan,
    difference,
    listens_of,
    openings,
)
from ansible_collections.novnc.fleet.plugins.module_utils.nft_ruleset import Ruleset
from hypothesis import given
from hypothesis import strategies as st

SERVICE = {"NeedDaemonReload": "no", "UnitFileState": "enabled"}
NO_FILES = dict.fromkeys(firewall_nftables.FILES)

ADDRESSES = ["192.168.0.2", "10.0.0.1", "127.0.0.1", "0.0.0.0", "[fd00::2]", "[::1]", "[::]"]
LISTENS = st.sets(
    st.builds(
        lambda address, port: f"{address}:{port}",
        st.sampled_from(ADDRESSES),
        # Few ports, so that there are neighbours; and the last, beyond which there is none.
        st.one_of(st.integers(1, 60), st.integers(65500, 65535)),
    ),
    max_size=80,
)


def meant(listens: Iterable[str]) -> set[tuple[str, int]]:
    """Return what has to be open for listeners, told independently of the code."""
    found = set()
    for text in listens:
        address, port = text.rpartition(":")[0].strip("[]"), int(text.rpartition(":")[2])
        if address not in ("127.0.0.1", "::1"):
            found |= {(one, port) for one in {address, *(["0.0.0.0"] if address == "::" else [])}}
    return found


def between(first: str, last: str) -> range:
    """Return the ports of a range that a firewall is told; one port has no last."""
    return range(int(first), int(last or first) + 1)


def ufw_opens(plan: Plan) -> list[tuple[str, int]]:
    """Return what the rules open that ufw is told to add."""
    found = []
    for command in plan.commands:
        words = command.words
        assert words[:5] == ("ufw", "allow", "proto", "tcp", "to")
        ports = words[7].split(",")
        assert sum(2 if ":" in port else 1 for port in ports) <= 15
        address = words[5].removesuffix("/0")
        found += [(address, n) for port in ports for n in between(*port.partition(":")[::2])]
    return found


def firewalld_opens(plan: Plan) -> list[tuple[str, int]]:
    """Return what the rich rules open that firewalld is told to add."""
    found = []
    for option in [word for command in plan.commands for word in command.words[2:]]:
        assert option.endswith('protocol="tcp" accept')
        version = re.findall(r'family="ipv(.)"', option)[0]
        to = re.findall(r'destination address="(.*?)"', option)
        address = to[0] if to else {"4": "0.0.0.0", "6": "::"}[version]
        assert ipaddress.ip_address(address).version == int(version)
        ports = re.findall(r'port port="(\d+)-?(\d*)"', option)[0]
        found += [(address, port) for port in between(*ports)]
    return found


def nftables_opens(plan: Plan) -> list[tuple[str, int]]:
    """Return what the rules open that nft is told to insert."""
    found = []
    for line in "".join(command.data for command in plan.commands).splitlines():
        match = re.fullmatch(
            r"insert rule inet host input (?:meta nfproto ipv(?P<any>.)|ip6? daddr (?P<to>\S+))"
            r' tcp dport \{ (?P<ports>.*) \} accept comment "novnc-fleet"',
            line,
        )
        assert match, line
        address = match["to"] or {"4": "0.0.0.0", "6": "::"}[match["any"]]
        for ports in match["ports"].split(", "):
            found += [(address, port) for port in between(*ports.partition("-")[::2])]
    return found


def nft(*rules: list[dict[str, Any]], policy: str = "drop", **chain: Any) -> Ruleset:
    """Return a ruleset with one base chain, and with these rules in it."""
    place = {"family": "inet", "table": "host"}
    base = {**place, "name": "input", "type": "filter", "hook": "input", "policy": policy, **chain}
    where = {"family": base["family"], "table": base["table"], "chain": base["name"]}
    numbered = [{"rule": {**where, "handle": n, "expr": e}} for n, e in enumerate(rules, 1)]
    return Ruleset({"nftables": [{"metainfo": {}}, {"table": place}, {"chain": base}, *numbered]})


def plan_nft(ruleset: Ruleset, wanted: list[Opening]) -> Plan:
    """Plan for a ruleset on a host without files of ours."""
    return firewall_nftables.plan(
        ruleset, wanted, nft="/usr/sbin/nft", standing=NO_FILES, service=SERVICE
    )


def plan_firewalld(zones: str, wanted: list[Opening]) -> Plan:
    """Plan for a firewalld with these zones, and the address 192.168.0.2 on eth0."""
    found = firewall_firewalld.parse_zones(zones)
    return firewall_firewalld.plan(
        wanted, {"firewall-cmd": found}, "public", {"192.168.0.2": "eth0"}
    )


@given(LISTENS)
def test_every_firewall_opens_exactly_the_listeners(listens: set[str]) -> None:
    wanted, expected = openings(listens), sorted(meant(listens))
    assert sorted(ufw_opens(firewall_ufw.plan("", wanted))) == expected
    assert sorted(firewalld_opens(plan_firewalld("public\n", wanted))) == expected
    assert sorted(nftables_opens(plan_nft(nft(), wanted))) == expected


@given(LISTENS, LISTENS)
def test_ufw_comes_from_any_list_to_any_other(before: set[str], after: set[str]) -> None:
    told: dict[tuple[str, ...], None] = {}
    for wanted in (openings(before), openings(after)):
        plan = firewall_ufw.plan(ufw_rules(told), wanted)
        for command in plan.commands:
            if command.words[1] == "delete":
                del told[command.words[2:]]
            else:
                told[command.words[1:-2]] = None
        assert listens_of(wanted) == listens_of(
            opening for rule in firewall_ufw.parse_rules(ufw_rules(told))[0] for opening in rule
        )
        assert not firewall_ufw.plan(ufw_rules(told), wanted).changed


def ufw_rules(told: Iterable[tuple[str, ...]]) -> str:
    """Return the file that ufw keeps of the rules it was told."""
    lines = []
    for words in told:
        to, ports = words[4], words[6]
        source = "::/0" if ":" in to else "0.0.0.0/0"
        mark = b"novnc-fleet".hex()
        lines.append(f"### tuple ### allow tcp {ports} {to} any {source} in comment={mark}\n-A x")
    return "\n".join(lines)


def test_neighbours_are_one_and_loopback_is_none() -> None:
    assert openings(["10.0.0.1:5901", "10.0.0.1:5900", "127.0.0.1:1", "10.0.0.1:5903"]) == [
        Opening("10.0.0.1", 5900, 5901),
        Opening("10.0.0.1", 5903, 5903),
    ]


@pytest.mark.parametrize(
    "text", ["web01:5900", "10.0.0.1", "unix:/run/x", "10.0.0.1:0", "::1:5900"]
)
def test_what_is_no_listener_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text) if text != "10.0.0.1:0" else "no port"):
        openings([text])


def test_what_moves_is_not_closed() -> None:
    one, other = Opening("10.0.0.1", 1, 2), Opening("10.0.0.1", 2, 3)
    assert difference({"a": [one], "b": [other]}, {"a": [other], "b": [other]}) == (
        ("10.0.0.1:3",),
        ("10.0.0.1:1",),
    )


UFW = """\
### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 5900:5902,6081 10.0.0.1 any 0.0.0.0/0 in comment=6e6f766e632d666c656574
### tuple ### allow tcp 7000 10.0.0.1 any 10.0.0.0/8 in comment=6e6f766e632d666c656574
### tuple ### allow tcp 5905 10.0.0.1 any 0.0.0.0/0 in
### tuple ### deny tcp 5906 10.0.0.1 any 0.0.0.0/0 in comment=6e6f766e632d666c656574
### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in_eth0
"""


def test_ufw_rules_that_are_ours() -> None:
    ours, others = firewall_ufw.parse_rules(UFW)
    assert ours == [(Opening("10.0.0.1", 5900, 5902), Opening("10.0.0.1", 6081, 6081))]
    assert others == [(Opening("0.0.0.0", 22, 22),), (Opening("10.0.0.1", 5905, 5905),)]


def test_ufw_leaves_alone_what_somebody_else_opened() -> None:
    # The same rule once more would get our comment, and go with the console.
    plan = firewall_ufw.plan(UFW, openings(["10.0.0.1:5905"]))
    assert [command.words[1] for command in plan.commands] == ["delete"]
    assert (plan.opened, "10.0.0.1:6081" in plan.closed) == ((), True)


def test_ufw_keeps_rules_that_are_right_until_they_are_too_many() -> None:
    one_more = openings([*(f"10.0.0.1:{port}" for port in (5900, 5901, 5902, 6081)), "10.0.0.1:1"])
    added = firewall_ufw.plan(UFW, one_more).commands
    assert [command.words[1:] for command in added] == [
        ("allow", "proto", "tcp", "to", "10.0.0.1", "port", "1", "comment", "novnc-fleet")
    ]
    single = [(Opening("10.0.0.1", port, port),) for port in (1, 3, 5)]
    assert firewall_ufw.wanted_rules(single, [rule[0] for rule in single]) == [
        tuple(rule[0] for rule in single)
    ]


def test_two_hundred_consoles_are_few_ufw_rules() -> None:
    apart = firewall_ufw.rules_for(Opening("10.0.0.1", port, port) for port in range(2, 402, 2))
    together = firewall_ufw.rules_for(openings(f"10.0.0.1:{5900 + n}" for n in range(200)))
    assert (len(apart), len(together)) == (14, 1)


@pytest.mark.parametrize(
    ("status", "active"), [("Status: active\n\nTo", True), ("Status: inactive\n", False)]
)
def test_ufw_is_in_force_or_not(status: str, active: bool) -> None:
    assert firewall_ufw.is_active(status) is active


OURS = 'rule priority="5900" family="ipv4" destination address="192.168.0.2" {} accept'
ZONES = f"""\
guests (active)
  target: ACCEPT
  interfaces: virbr0
  sources:
  rich rules:
\t{OURS.format('port port="5901" protocol="tcp"')}
office
  target: default
  interfaces:
  sources: 10.1.0.0/16 10.2.0.0/16
  rich rules:
public (default, active)
  target: default
  interfaces: eth0
  sources:
  services: ssh
  rich rules:
\trule priority="5900" family="ipv4" source address="1.2.3.4" drop
\t{OURS.format('port port="5900-5901" protocol="tcp"')}
"""


def test_firewalld_zones() -> None:
    zones = firewall_firewalld.parse_zones(ZONES)
    assert list(zones) == ["guests", "office", "public"]
    assert zones["public"].interfaces == {"eth0"}
    assert zones["office"].sources == {"10.1.0.0/16", "10.2.0.0/16"}
    assert [len(zone.rules) for zone in zones.values()] == [1, 0, 1]


def test_firewalld_opens_in_the_zones_that_judge_the_address_and_no_other() -> None:
    plan = plan_firewalld(ZONES, openings(["192.168.0.2:5900", "192.168.0.2:5901"]))
    assert [command.words[:2] for command in plan.commands] == [
        ("firewall-cmd", "--zone=office"),
        ("firewall-cmd", "--zone=guests"),
    ]
    assert [command.words[2][:8] for command in plan.commands] == ["--add-ri", "--remove"]
    assert (len(plan.opened), plan.closed) == (2, ())


def test_firewalld_opens_everywhere_for_a_wildcard() -> None:
    plan = plan_firewalld(ZONES, openings(["0.0.0.0:1"]))
    added = {command.words[1] for command in plan.commands if "--add" in command.words[2]}
    assert added == {"--zone=guests", "--zone=office", "--zone=public"}


def test_addresses_have_interfaces() -> None:
    text = '[{"ifname": "lo"}, {"ifname": "eth0", "addr_info": [{"local": "10.0.0.1"}, {}]}]'
    assert firewall_firewalld.parse_interfaces(text) == {"10.0.0.1": "eth0"}
