"""What a check comes to."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.verdict import (
    probe_targets,
    table,
    verdicts,
    with_state,
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
    return {"name": "web01", **good, **keys}


OFF = result(ok=False, hop="connect", error="nothing listens there", refused=True)
DEAF = result(ok=False, hop="rfb", error="no answer")


@pytest.mark.parametrize(
    ("server", "visit", "expected"),
    [
        (result(), result(), ("running", "running", "")),
        (result(), result(verified=False), ("running", "unverified", "")),
        (result(), DEAF, ("running", "fault", "rfb: no answer")),
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


def test_states_are_added() -> None:
    assert with_state([CONSOLE], [OFF]) == [{**CONSOLE, "state": "off"}]


def test_the_table_lines_up_and_tells_errors() -> None:
    entries = verdicts([CONSOLE, {**CONSOLE, "vm": "b"}], [result(), result(name="b")], [result()])
    assert table(entries) == [
        "kvm1  web01  running  http://h/vnc.html#autoconnect=true",
        "kvm1  b      fault    http://h/vnc.html#autoconnect=true",
        "    its VNC server: was not asked",
    ]
    assert table([]) == []
