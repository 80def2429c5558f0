"""What a check comes to."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.verdict import (
    endpoint_consoles,
    endpoint_targets,
    endpoint_verdicts,
    gateway_consoles,
    probe_targets,
    table,
    unlisted,
    verdicts,
)

CONSOLE = {
    "host": "kvm1",
    "vm": "web01",
    "url": "http://h/vnc.html#autoconnect=true",
    "origins": ["http://h"],
    "vnc": "127.0.0.1:5900",
    "websocket": "ws://h/",
    "expect_name": "QEMU (web01)",
    "expect_strict": False,
}


def result(**keys: Any) -> dict[str, Any]:
    """Return the result of a probe that went well, but for some keys."""
    good = {"ok": True, "hop": None, "error": None, "refused": False, "verified": True}
    return {"name": "web01", "http_status": None, "retry_after": None, **good, **keys}


OFF = result(ok=False, hop="connect", error="nothing listens there", refused=True)
DEAF = result(ok=False, hop="rfb", error="no answer")
FULL = result(ok=False, hop="http", error="503", http_status=503, retry_after=60, verified=False)
DOWN = {**FULL, "retry_after": None}


@pytest.mark.parametrize(
    ("server", "visit", "expected"),
    [
        (result(), result(), ("running", "running", "")),
        (result(), result(verified=False), ("running", "unverified", "")),
        (result(), DEAF, ("running", "fault", "rfb: no answer")),
        (result(), FULL, ("running", "fault", "http: 503")),
        (result(), None, ("running", "fault", "its VNC server: was not asked")),
        (OFF, None, ("off", "off", "")),
        (DEAF, None, ("unknown", "fault", "its VNC server: no answer")),
    ],
)
def test_verdicts(server: Any, visit: Any, expected: tuple[str, str, str]) -> None:
    found = verdicts([CONSOLE], [server], [visit] if visit else [])[0]
    assert (found["state"], found["verdict"], found["error"]) == expected


def test_servers_are_asked_whatever_they_are_called() -> None:
    assert probe_targets([CONSOLE], "vnc") == [{"name": "web01", "url": "127.0.0.1:5900"}]


def test_only_running_vms_are_visited_and_held_to_their_name() -> None:
    wanted = {"name": "web01", "url": "ws://h/", "expect_name": "QEMU (web01)", "strict": False}
    wanted |= {"origin": "http://h", "page": "http://h/vnc.html"}
    assert probe_targets([CONSOLE], "websocket", [result()]) == [wanted]
    assert probe_targets([CONSOLE], "websocket", [OFF]) == []


def behind(**keys: Any) -> list[dict[str, Any]]:
    """Return the consoles behind an endpoint of a host with one VM."""
    vm = {"name": "zwei Wörter", "uuid": "1-2", "state": "running", "expect_name": None}
    return endpoint_consoles([{**vm, "displays": [{}], **keys}], "kvm2", "h:16900")


def test_vms_behind_an_endpoint_are_opened_by_uuid_and_held_to_their_name() -> None:
    wanted = {"name": "1-2", "url": "wss://h:16900/vm/1-2/websockify"}
    assert endpoint_targets(behind()) == [{**wanted, "expect_name": "QEMU (zwei Wörter)"}]
    assert endpoint_targets(behind(expect_name="QEMU"))[0]["expect_name"] == "QEMU"
    assert endpoint_targets(behind(state="off")) == []
    assert endpoint_targets(behind(displays=[])) == []


@pytest.mark.parametrize(
    ("keys", "visit", "expected"),
    [
        ({}, result(), ("running", "")),
        ({"state": "unknown"}, result(), ("running", "")),
        ({}, result(verified=False), ("unverified", "")),
        ({}, DEAF, ("fault", "rfb: no answer")),
        ({}, FULL, ("unchecked", "as many people as may look at it, so it was not opened")),
        ({}, DOWN, ("fault", "http: 503")),
        ({"state": "off"}, None, ("off", "")),
        (
            {"displays": []},
            None,
            ("unverified", "it has no VNC server, so there is nothing to see"),
        ),
    ],
)
def test_verdicts_behind_an_endpoint(keys: Any, visit: Any, expected: tuple[str, str]) -> None:
    visits = [{**visit, "name": "1-2"}] if visit else []
    (found,) = endpoint_verdicts(behind(**keys), visits)
    assert (found["verdict"], found["error"]) == expected
    assert (found["host"], found["vm"]) == ("kvm2", "zwei Wörter")
    assert found["url"] == "wss://h:16900/vm/1-2/websockify"


LISTED = {"host": "kvm2", "vm": "zwei Wörter", "uuid": "1-2", "state": "running", "may": "watch"}


def test_consoles_behind_a_gateway_are_held_to_what_hypervisors_say() -> None:
    wanted = {"name": "1-2", "url": "wss://gw:8443/vm/1-2/websockify", "origin": "https://gw:8443"}
    for found, name in (([], "QEMU (zwei Wörter)"), (behind(expect_name="Z"), "Z")):
        consoles = gateway_consoles([LISTED], found, "gw:8443")
        targets = endpoint_targets(consoles, "https://gw:8443")
        assert targets == [{**wanted, "expect_name": name}]
    assert endpoint_targets(gateway_consoles([LISTED], behind(displays=[]), "gw")) == []
    (entry,) = endpoint_verdicts(consoles, [{**result(), "name": "1-2"}])
    assert (entry["verdict"], entry["url"]) == ("running", wanted["url"])


def test_a_running_vm_that_a_gateway_does_not_list_is_told() -> None:
    assert unlisted([LISTED], behind()) == []
    assert [one["uuid"] for one in unlisted([], behind())] == ["1-2"]
    assert unlisted([], behind(state="off")) == []


def test_the_table_lines_up_and_tells_errors() -> None:
    entries = verdicts([CONSOLE, {**CONSOLE, "vm": "b"}], [result(), result(name="b")], [result()])
    assert table(entries) == [
        "kvm1  web01  running  http://h/vnc.html#autoconnect=true",
        "kvm1  b      fault    http://h/vnc.html#autoconnect=true",
        "    its VNC server: was not asked",
    ]
    assert table([]) == []
