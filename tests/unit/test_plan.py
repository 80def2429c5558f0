"""The planner: what entries come to, and what it refuses."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.listeners import Listener
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget
from ansible_collections.novnc.fleet.plugins.module_utils.plan import Console, make_plan
from ansible_collections.novnc.fleet.plugins.module_utils.rules import Host, Settings
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fakes import untimed

HOST = Host(
    name="kvm1",
    names=("192.168.0.2",),
    addresses=("127.0.0.1", "::1", "192.168.0.2", "10.0.0.1"),
    interfaces={"lo": ("127.0.0.1", "::1"), "eth0": ("fe80::1", "192.168.0.2"), "eth1": ()},
    default_ipv4="192.168.0.2",
)


def console(entry: object, *, host: Host = HOST, settings: Settings | None = None) -> Console:
    """Return the plan's only console; fail if it has a fault."""
    plan = make_plan({"web01": entry}, host, settings or Settings())
    assert plan.faults == []
    return plan.consoles[0]


def fault(vms: object, *, host: Host = HOST, settings: Settings | None = None) -> str:
    """Return the plan's only fault."""
    plan = make_plan(vms, host, settings or Settings())
    assert len(plan.faults) == 1, plan
    return plan.faults[0]


@pytest.mark.parametrize(
    ("entry", "vnc"),
    [
        (5900, "127.0.0.1:5900"),
        ("5900", "127.0.0.1:5900"),
        ("[::1]:5900", "[::1]:5900"),
        ("[::ffff:10.9.9.9]:5900", "10.9.9.9:5900"),
        ("vnc.example.org:5901", "vnc.example.org:5901"),
        ({"vnc": 5900}, "127.0.0.1:5900"),
    ],
)
def test_targets(entry: object, vnc: str) -> None:
    assert console(entry).vnc == vnc


def test_the_classic_form_keeps_the_port_and_takes_the_default_address() -> None:
    found = console(5900)
    assert found.listen == "192.168.0.2:5900"
    assert found.url == "http://192.168.0.2:5900/vnc.html#autoconnect=true&resize=scale"
    assert found.websocket == "ws://192.168.0.2:5900/websockify"
    assert (found.title, found.expect_name, found.expect_strict) == ("web01", "QEMU (web01)", False)


def test_where_libvirt_hands_out_displays_consoles_keep_out_of_its_way() -> None:
    libvirt = replace(HOST, libvirt=True)
    assert console(5907, host=libvirt).listen == "192.168.0.2:16007"
    assert console({"vnc": 5907, "listen_port": 6080}, host=libvirt).listen == "192.168.0.2:6080"


def test_the_address_rule() -> None:
    entry = {"vnc": 5900, "listen_address": "10.0.0.1"}
    knob, interface = Settings(listen_address="10.9.0.1"), Settings(interface="eth0")
    assert console(entry, settings=knob).listen == "10.0.0.1:5900"
    assert console(5900, settings=knob).listen == "10.9.0.1:5900"
    assert console(5900, settings=interface).listen == "192.168.0.2:5900"


def test_ipv6_listeners_are_bracketed() -> None:
    found = console({"vnc": "unix:/run/vnc", "listen_address": "fd00::2", "listen_port": 6080})
    assert (found.vnc, found.listen) == ("unix:/run/vnc", "[fd00::2]:6080")
    assert found.websocket == "ws://[fd00::2]:6080/websockify"


def test_keys_are_taken_over() -> None:
    found = console(
        {"vnc": 5901, "title": "Büro", "expect_name": "desk"}, settings=Settings(tls=True)
    )
    assert (found.title, found.expect_name, found.expect_strict) == ("Büro", "desk", True)
    assert found.url.startswith("https://")
    assert found.websocket.startswith("wss://")


def test_origins_are_the_consoles_own_unless_written() -> None:
    assert console(5900).origins == ("http://192.168.0.2:5900", "http://kvm1:5900")
    at_home = {"vnc": 5900, "listen_port": 443}
    assert console(at_home, settings=Settings(tls=True)).origins == (
        "https://192.168.0.2",
        "https://kvm1",
    )
    written = Settings(allowed_origins=("https://portal.example.org",))
    assert console(5900, settings=written).origins == ("https://portal.example.org",)


@pytest.mark.parametrize(
    "name",
    ["../../x", "a b", "-rf", "$(id)", "a\nb", "%n", "ü", "x" * 64, "", ".", True, None, 1.5],
)
def test_names_are_refused(name: object) -> None:
    assert "no name for a console" in fault({name: 5900})


def test_names_that_differ_by_case_only_are_refused() -> None:
    assert "web01: differs from WEB01 by case only" in fault({"WEB01": 5900, "web01": 5901})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (0, "'0' is no port"),
        (65536, "'65536' is no port"),
        (-1, "'-1' is no port"),
        (5900.5, "5900.5 is no port"),
        (True, "True is no port"),
        (None, "vnc is missing"),
        ({}, "vnc is missing"),
        ("example.org", "neither 'host:port'"),
        ("::1:5900", "needs brackets around its IPv6 address: '[::1]:5900'"),
        ("a b:5900", "neither a host name nor an IP address"),
        ("unix:vnc.sock", "needs an absolute path"),
        ("unix:/" + "x" * 108, "longer than the 107 bytes"),
        ("unix:/a\nb", "cannot be printed"),
        ("unix:/run/vnc", "listen_port is missing"),
        ({"vnc": 5900, "listen_prot": 1}, "unknown key 'listen_prot'; did you mean listen_port?"),
        ({"vnc": 5900, "listen_port": "x"}, "listen_port 'x' is no port"),
        ({"vnc": 5900, "listen_address": "kvm1"}, "listen_address 'kvm1' is no IP address"),
        ({"vnc": 5900, "listen_address": "fe80::1%eth0"}, "'fe80::1%eth0' is no IP address"),
        ({"vnc": 5900, "title": ["a"]}, "title ['a'] is no text"),
        ({"vnc": 5900, "title": "a\nb"}, "is no text of one line"),
    ],
)
def test_entries_are_refused(entry: object, words: str) -> None:
    assert fault({"web01": entry}).startswith("kvm1: web01: ")
    assert words in fault({"web01": entry})


def test_a_name_written_as_text_and_as_number_is_one_name() -> None:
    assert "1: differs from 1 in nothing" in fault({"1": 5900, 1: 5901})


def test_addresses_that_nobody_wrote_are_refused() -> None:
    public = replace(HOST, default_ipv4="8.8.8.8")
    assert "8.8.8.8, is public" in fault({"web01": 5900}, host=public)
    assert console({"vnc": 5900, "listen_address": "8.8.8.8"}, host=public).listen == "8.8.8.8:5900"
    assert "no default IPv4 address" in fault({"web01": 5900}, host=replace(HOST, default_ipv4=""))
    nowhere, empty = Settings(interface="eth9"), Settings(interface="eth1")
    assert "it has: eth0, eth1, lo" in fault({"web01": 5900}, settings=nowhere)
    assert "has no address" in fault({"web01": 5900}, settings=empty)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"])
def test_a_console_cannot_stand_where_its_vnc_server_does(address: str) -> None:
    assert "is taken by the VNC server of web01 (127.0.0.1:5900)" in fault(
        {"web01": {"vnc": 5900, "listen_address": address}}
    )


@pytest.mark.parametrize("vnc", ["192.168.0.9:5900", "vnc.example.org:5900", "[::1]:5900"])
def test_other_machines_and_other_addresses_do_not_collide(vnc: str) -> None:
    assert console({"vnc": vnc, "listen_address": "127.0.0.1"}).listen == "127.0.0.1:5900"


def test_two_consoles_cannot_share_a_port() -> None:
    words = fault({"a": 5900, "b": {"vnc": 5901, "listen_port": 5900}})
    assert "b: listen_port 5900 on 192.168.0.2 is taken by the console of a" in words


def test_all_faults_are_told() -> None:
    plan = make_plan({"a": 0, "b": 5900, "-c": 1}, replace(HOST, tls_fault="no key"), Settings())
    assert [words.split(": ")[1] for words in plan.faults] == ["no key", "a", "-c"]


def test_the_plan_as_data_holds_lists_and_dictionaries_only() -> None:
    data = make_plan({"a": 5900}, HOST, Settings()).as_data()
    assert data["faults"] == []
    assert data["consoles"][0]["origins"] == ["http://192.168.0.2:5900", "http://kvm1:5900"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ADDRESSES = st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "::1", "192.168.0.2", "10.0.0.1"])
PORTS = st.integers(5900, 5903)
ENTRIES = PORTS | st.fixed_dictionaries(
    {"vnc": PORTS}, optional={"listen_address": ADDRESSES, "listen_port": PORTS, "title": ANY}
)


@given(st.dictionaries(st.text(max_size=3) | st.integers(), ANY | ENTRIES, max_size=4) | ANY)
@untimed
def test_it_never_raises(vms: Any) -> None:
    plan = make_plan(vms, HOST, Settings())
    assert plan.faults or len(plan.consoles) == len(vms)


@given(st.dictionaries(st.sampled_from("abcdef"), ENTRIES, min_size=2))
@untimed
def test_no_two_listeners_of_a_plan_overlap(vms: Any) -> None:
    plan = make_plan(vms, HOST, Settings())
    if plan.faults:
        return
    taken: set[tuple[str, str]] = set()
    for one in plan.consoles:
        address, _, port = one.listen.rpartition(":")
        taken_by = {
            "[::]": {"[::]", "0.0.0.0", "127.0.0.1", "[::1]", "192.168.0.2", "10.0.0.1"},
            "0.0.0.0": {"0.0.0.0", "127.0.0.1", "192.168.0.2", "10.0.0.1"},
        }.get(address, {address})
        claims = {(claimed, port) for claimed in taken_by}
        assert not claims & taken
        assert not claims & {("127.0.0.1", other.vnc.rpartition(":")[2]) for other in plan.consoles}
        taken |= claims


def test_what_listens_already_is_named() -> None:
    sshd = Listener(ipaddress.ip_address("::"), 22, "sshd, process 38")
    busy = replace(HOST, listeners=(sshd,))
    words = fault({"web01": {"vnc": 5900, "listen_port": 22}}, host=busy)
    assert "listen_port 22 on 192.168.0.2 is taken by sshd, process 38 ([::]:22)" in words
    v6_only = replace(HOST, listeners=(replace(sshd, v6_only=True),))
    assert console({"vnc": 5900, "listen_port": 22}, host=v6_only).listen == "192.168.0.2:22"


def test_the_endpoints_port_is_taken() -> None:
    settings = Settings(endpoint=TcpTarget("192.168.0.2", 16900))
    words = fault({"web01": {"vnc": 5900, "listen_port": 16900}}, settings=settings)
    assert "is taken by the host's endpoint" in words


def test_two_consoles_of_one_vnc_server_are_refused() -> None:
    words = fault({"a": 5900, "b": {"vnc": "localhost:5900", "listen_port": 6000}})
    assert "b: vnc 127.0.0.1:5900 is the VNC server of a too" in words


@pytest.mark.parametrize("path", ["/tmp/x", "/home/me/x", "/root/x", "/run/user/0/x"])  # noqa: S108
def test_sockets_that_the_sandbox_hides_are_refused(path: str) -> None:
    assert "sandbox hides" in fault({"a": {"vnc": f"unix:{path}", "listen_port": 6000}})


def test_a_unix_target_is_offered_a_free_port() -> None:
    taken = {"vnc": 5900, "listen_port": 16000}
    words = fault({"a": taken, "b": "unix:/run/vnc"})
    assert "listen_port is missing; unix:/run/vnc has none to go by, and 16001 is free" in words


def test_the_mend_of_a_written_address_is_to_leave_it_out() -> None:
    words = fault({"a": {"vnc": 5900, "listen_address": "127.0.0.1"}})
    assert words.endswith(
        "leave listen_address out to use 192.168.0.2, or write another listen_port"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(allowed_origins=("https://A.example",)), "is not what a browser sends"),
        (Settings(allowed_origins=("https://a.example/",)), "is not what a browser sends"),
        (Settings(allowed_origins=("*",)), "is not what a browser sends"),
        (Settings(memory_max="lots"), "novnc_console_memory_max 'lots' is no size"),
    ],
)
def test_knobs_are_checked(settings: Settings, words: str) -> None:
    assert words in fault({"a": 5900}, settings=settings)


def test_groups_that_are_missing_are_named() -> None:
    host = replace(HOST, missing_groups=("qemu-vnc",))
    assert "the host has no group 'qemu-vnc'" in fault({"a": 5900}, host=host)


def test_origins_are_written_as_browsers_do() -> None:
    host = replace(HOST, name="KVM1", names=("FD00:0::2",))
    assert console(5900, host=host).origins[1:] == ("http://[fd00::2]:5900", "http://kvm1:5900")


def test_a_wildcard_is_reached_by_the_hosts_own_address() -> None:
    found = console({"vnc": "unix:/run/x", "listen_address": "0.0.0.0", "listen_port": 6000})
    assert found.listen == "0.0.0.0:6000"
    assert found.websocket == "ws://192.168.0.2:6000/websockify"
    assert "http://10.0.0.1:6000" in found.origins


@pytest.mark.parametrize(
    ("entry", "host", "words"),
    [
        ({"vnc": 5900, "listen_address": "10.9.9.9"}, HOST, "10.9.9.9 is not on the host now"),
        ({"vnc": 5900, "listen_port": 40000}, HOST, "the kernel hands out by itself (32768-60999)"),
        ({"vnc": 5900, "listen_port": 443}, HOST, "is a privileged one"),
        ({"vnc": 5900, "listen_port": 5950}, replace(HOST, libvirt=True), "libvirt hands out"),
    ],
)
def test_what_is_odd_is_told_and_done(entry: object, host: Host, words: str) -> None:
    plan = make_plan({"a": entry}, host, Settings())
    assert (plan.faults, len(plan.consoles)) == ([], 1)
    assert len(plan.notes) == 1
    assert words in plan.notes[0]


OFF = Settings(direct=False, endpoint=TcpTarget("192.168.0.2", 16900))


def test_without_direct_consoles_the_list_is_kept_and_nothing_listens() -> None:
    found = console({"vnc": 5900, "title": "Büro", "listen_port": 6080}, settings=OFF)
    assert (found.vm, found.title, found.vnc) == ("web01", "Büro", "127.0.0.1:5900")
    assert (found.listen, found.url, found.websocket, found.origins) == ("", "", "", ())
    assert (found.expect_name, found.expect_strict) == ("QEMU (web01)", False)


def test_without_direct_consoles_nothing_that_only_they_need_is_missed() -> None:
    bare = replace(HOST, default_ipv4="", tls_fault="no key", libvirt=True)
    plan = make_plan({"a": "unix:/run/a", "b": 16900}, bare, OFF)
    assert (plan.faults, plan.notes) == ([], [])
    assert plan.as_data()["direct"] is False


def test_without_direct_consoles_what_cannot_be_read_is_refused_all_the_same() -> None:
    assert "no name" in fault({"../x": 5900}, settings=OFF)
    assert "by case only" in fault({"a": 5900, "A": 5901}, settings=OFF)
    assert "the VNC server of a too" in fault({"a": 5900, "b": 5900}, settings=OFF)


def test_consoles_that_nobody_can_open_are_told() -> None:
    neither = Settings(direct=False)
    assert "novnc_endpoint_enabled" in make_plan({"a": 5900}, HOST, neither).notes[0]
    assert make_plan({}, HOST, neither).notes == []
