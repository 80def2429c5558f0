"""Where VMs and typed consoles no longer fit together."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.drift import doubts, drift, table

NONE: dict[str, list[Any]] = {"missing": [], "orphaned": [], "moved": []}


def vm(name: str, state: str = "running", port: int = 5900, source: str = "libvirt") -> Any:
    """Return a VM as novnc.fleet.vm_info tells of it; its uuid is its name."""
    displays = [{"address": "127.0.0.1", "port": port, "socket": ""}] if port else []
    return {"name": name, "uuid": name, "state": state, "source": source, "displays": displays}


def console(name: str, **other: Any) -> Any:
    """Return a console of the VM of its name, at its display."""
    usual = {"vnc": "127.0.0.1:5900", "local": True, "direct": True, "found": True}
    return {"name": name, "uuid": name, **usual, **other}


def host(vms: list[Any], consoles: list[Any], libvirt: bool = True) -> Any:
    """Return what novnc.fleet.vm_info returns for a host."""
    return {"vms": vms, "consoles": consoles, "libvirt": libvirt}


def names(found: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Return the names only, of the kinds that there are."""
    return {kind: [row["vm"] for row in rows] for kind, rows in found.items() if rows}


def test_what_fits_is_no_drift() -> None:
    one = host([vm("a"), vm("b", "off")], [console("a"), console("b")])
    assert drift({"kvm1": one, "kvm2": host([], [])}) == NONE
    assert table(NONE) == ["no drift"]


def test_a_running_vm_without_a_console_is_missing() -> None:
    one = host([vm("a"), vm("off", "off"), vm("blind", port=0)], [])
    found = drift({"kvm1": one})
    assert names(found) == {"missing": ["a"]}
    assert found["missing"] == [
        {"host": "kvm1", "vm": "a", "uuid": "a", "displays": ["127.0.0.1:5900"]}
    ]


def test_an_endpoint_gives_every_vm_its_console_unless_there_are_direct_ones() -> None:
    plain = host([vm("a"), vm("b")], [])
    typed = host([vm("a"), vm("b")], [console("a", direct=False)])
    direct = host([vm("a"), vm("b")], [console("a")])
    hosts = {"plain": plain, "typed": typed, "direct": direct}
    assert drift(hosts, ["plain", "typed"])["missing"] == drift({"direct": direct})["missing"]
    assert names(drift(hosts, list(hosts))) == {"missing": ["b"]}
    assert names(drift(hosts)) == {"missing": ["a", "b", "b", "b"]}


@pytest.mark.parametrize(
    ("state", "local", "libvirt", "orphaned"),
    [
        ("off", True, True, True),
        ("off", True, False, False),  # a plain QEMU VM that is switched off looks just so
        ("off", False, True, False),
        ("running", True, True, False),  # it shows something
        ("unknown", True, True, False),
    ],
)
def test_a_console_of_no_vm(state: str, local: bool, libvirt: bool, orphaned: bool) -> None:
    one = host([vm("a", state, source="consoles")], [console("a", local=local)], libvirt)
    assert names(drift({"kvm1": one})) == ({"orphaned": ["a"]} if orphaned else {})


def test_what_nobody_can_tell_is_told() -> None:
    one = host([vm("a", "off", source="consoles")], [console("a")], libvirt=False)
    assert [row["vm"] for row in doubts({"kvm1": one})] == ["a"]
    assert table(NONE, doubts({"kvm1": one}))[0].startswith("off       kvm1  a  switched off or")
    assert doubts({"kvm1": {**one, "libvirt": True}}) == []


@pytest.mark.parametrize(
    ("state", "local", "moved"),
    [("running", True, True), ("off", True, False), ("running", False, False)],
)
def test_a_console_whose_vm_is_elsewhere(state: str, local: bool, moved: bool) -> None:
    one = host([vm("a", state, 5901)], [console("a", found=False, local=local)])
    found = drift({"kvm1": one})
    assert names(found) == ({"moved": ["a"]} if moved else {})
    if moved:
        assert found["moved"][0]["displays"] == ["127.0.0.1:5901"]
        assert table(found) == [
            "moved  kvm1  a  its console goes to 127.0.0.1:5900, it is at 127.0.0.1:5901"
        ]


def test_hosts_that_were_not_asked_are_in_the_table() -> None:
    lines = table(NONE, unasked=["kvm9"])
    assert lines[0].split()[:3] == ["not", "asked", "kvm9"]


def test_a_unix_socket_and_no_display_at_all_are_shown() -> None:
    unix = {"address": "", "port": 0, "socket": "/run/a"}
    one = host([{**vm("a"), "displays": [unix]}], [])
    assert "unix:/run/a" in table(drift({"kvm1": one}))[0]
    gone = host([vm("a", port=0)], [console("a", found=False)])
    assert "nowhere" in table(drift({"kvm1": gone}))[0]
