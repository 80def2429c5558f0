"""What ``make -s consoles`` says of a host."""

from __future__ import annotations

from typing import Any

from tests.harness import demo

DIRECT = {"listen": "h:5900", "vnc": "127.0.0.1:5900", "url": "http://h", "websocket": "ws://h"}


def vm(name: str, **keys: Any) -> dict[str, Any]:
    """Return a VM as the playbook tells of it."""
    own = {"host": "kvm1", "vm": name, "uuid": f"uuid-of-{name}", "state": "running"}
    return {**own, "websocket": f"wss://h/{name}", "expect_name": "", "vnc": True, **keys}


def told(**keys: Any) -> dict[str, Any]:
    """Return what the playbook tells of a host with one typed VM and one that was found."""
    found = [vm("web01"), vm("old01", state="off")]
    typed = {"host": "kvm1", "vm": "web01", "title": "", "origins": [], **DIRECT}
    said = {"consoles": [typed], "uuids": {"web01": "uuid-of-web01"}, "vms": found}
    return {**said, "endpoint": True, "gateway": "", **keys}


def entries(told: dict[str, Any], **names: int) -> list[dict[str, Any]]:
    """Return what is said of a host all of whose VMs have names of their own, or as told."""
    return demo.entries(told, {"web01": 1, "old01": 1, "zwei Wörter": 1, **names})


def test_with_a_gateway_every_vm_is_reached_through_it() -> None:
    found = entries(told(gateway="gw:8443", vms=[vm("web01"), vm("zwei Wörter")]), web01=2)
    assert [(one["gateway_url"], one["gateway_websocket"]) for one in found] == [
        ("https://gw:8443/vm/web01@kvm1/", "wss://gw:8443/vm/web01@kvm1/websockify"),
        (
            "https://gw:8443/vm/zwei%20W%C3%B6rter/",
            "wss://gw:8443/vm/zwei%20W%C3%B6rter/websockify",
        ),
    ]


def test_a_vm_with_both_ways_is_one_entry_and_every_vm_is_listed() -> None:
    web01 = {"host": "kvm1", "vm": "web01", "uuid": "uuid-of-web01", "state": "running"}
    old01 = {"host": "kvm1", "vm": "old01", "uuid": "uuid-of-old01", "state": "off"}
    assert entries(told()) == [
        {**web01, **DIRECT, "endpoint": "wss://h/web01"},
        {**old01, "endpoint": "wss://h/old01"},
    ]


def test_without_an_endpoint_only_direct_consoles_are_listed() -> None:
    (entry,) = entries(told(endpoint=False))
    assert entry["vm"] == "web01"
    assert "endpoint" not in entry


def test_a_typed_vm_without_a_listener_has_no_direct_console() -> None:
    typed = [{**console, "listen": ""} for console in told()["consoles"]]
    assert [set(entry) for entry in entries(told(consoles=typed))] == [
        {"host", "vm", "uuid", "state", "endpoint"}
    ] * 2
