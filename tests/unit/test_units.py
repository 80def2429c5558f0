"""What stands on a host for its consoles, and the steps from one list to another."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.units import (
    CONSOLES_JSON,
    TARGET_LINK,
    File,
    compare,
    console_entries,
    host_entries,
    owner,
)

SOCKET = "/etc/systemd/system/novnc-console@web01.socket.d/novnc-fleet.conf"
SERVICE = "/etc/systemd/system/novnc-console@web01.service.d/novnc-fleet.conf"
ENV = "/etc/novnc-fleet/consoles/web01.env"
LINK = "/etc/systemd/system/novnc-consoles.target.wants/novnc-console@web01.socket"


def console(vm: str = "web01", **keys: Any) -> dict[str, Any]:
    """Return an entry of a plan."""
    return {
        "vm": vm,
        "vnc": "127.0.0.1:5900",
        "listen": "192.168.0.2:5900",
        "origins": ["http://a:5900", "http://b:5900"],
        "title": vm,
        **keys,
    }


def test_a_console_is_a_listener_an_environment_and_a_link() -> None:
    entries = console_entries(console(), tls=False)
    assert set(entries) == {SOCKET, SERVICE, ENV, LINK}
    assert entries[SOCKET] == File("[Socket]\nListenStream=192.168.0.2:5900\n")
    assert entries[ENV] == File(
        'NOVNC_CONSOLE_TARGET="127.0.0.1:5900"\n'
        'NOVNC_CONSOLE_ORIGINS="http://a:5900 http://b:5900"\n'
        'NOVNC_CONSOLE_TLS="no"\n',
        0o640,
    )


def test_each_console_has_a_user_of_its_own() -> None:
    entries = [console_entries(console(vm), tls=False) for vm in ("web01", "x.y")]
    users = {
        line
        for entry in entries
        for path, file in entry.items()
        if "service.d" in path and isinstance(file, File)
        for line in file.content.splitlines()
        if re.fullmatch(r"User=[a-z][a-z0-9-]{1,30}", line)
    }
    assert len(users) == 2


def test_a_unix_target_needs_no_network() -> None:
    entry = console_entries(console(vnc="unix:/run/vnc"), tls=False)[SERVICE]
    assert isinstance(entry, File)
    assert "PrivateNetwork=yes\n" in entry.content
    assert entry.content.endswith("RestrictAddressFamilies=AF_UNIX\n")


def test_values_are_quoted_for_systemd() -> None:
    entry = console_entries(console(vnc='unix:/a "b" $c\\d`'), tls=True)[ENV]
    assert isinstance(entry, File)
    assert entry.content.startswith(r'NOVNC_CONSOLE_TARGET="unix:/a \"b\" \$c\\d\`"' + "\n")
    assert 'TLS="yes"' in entry.content


def test_the_host_keeps_the_whole_list() -> None:
    entry = host_entries([console(), console("ü")], tls=False)[CONSOLES_JSON]
    assert isinstance(entry, File)
    assert [found["vm"] for found in json.loads(entry.content)] == ["web01", "ü"]


@pytest.mark.parametrize("path", [SOCKET, SERVICE, ENV, LINK])
def test_paths_belong_to_their_console(path: str) -> None:
    assert owner(path) == "web01"


@pytest.mark.parametrize("path", [CONSOLES_JSON, "/etc/novnc-fleet/consoles/a/b.env"])
def test_other_paths_belong_to_none(path: str) -> None:
    assert owner(path) == ""


def steps(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Any:
    """Return the difference between two lists of consoles."""
    return compare(host_entries(before, tls=False), host_entries(after, tls=False))


def test_nothing_differs_from_itself() -> None:
    assert not steps([console()], [console()])


def test_a_title_restarts_nothing() -> None:
    found = steps([console()], [console(title="Web")])
    assert list(found.write) == [CONSOLES_JSON]
    assert (found.added, found.removed, found.restarted) == ([], [], [])


def test_the_first_run_adds_every_console_and_no_other() -> None:
    found = compare({}, host_entries([console("a"), console("b")], tls=False))
    assert (found.added, found.removed, found.restarted) == (["a", "b"], [], [])


def test_added_and_removed() -> None:
    found = steps([console("a"), console("b")], [console("b"), console("c")])
    assert (found.added, found.removed, found.restarted) == (["c"], ["a"], [])
    assert {owner(path) for path in found.remove} == {"a"}


@pytest.mark.parametrize(
    "change",
    [
        {"listen": "192.168.0.2:6000"},
        {"vnc": "127.0.0.1:5909"},
        {"vnc": "unix:/s"},
        {"origins": []},
    ],
)
def test_what_restarts_a_console(change: dict[str, Any]) -> None:
    assert steps([console(), console("b")], [console(**change), console("b")]).restarted == [
        "web01"
    ]
    assert steps([console(**change)], [console()]).restarted == ["web01"]


def test_a_wrong_mode_or_a_missing_link_is_mended_without_a_restart() -> None:
    wanted = host_entries([console()], tls=False)
    env = wanted[ENV]
    assert isinstance(env, File)
    present = {**wanted, ENV: File(env.content, 0o644)}
    del present[LINK]
    found = compare(present, wanted)
    assert set(found.write) == {ENV, LINK}
    assert (found.added, found.restarted) == ([], [])


def test_without_direct_consoles_only_the_list_is_kept() -> None:
    before = host_entries([console("a"), console("b")], tls=False)
    after = host_entries([console("a", listen="")], tls=False, direct=False)
    assert set(after) == {CONSOLES_JSON}
    found = compare(before, after)
    assert (found.added, found.removed, found.restarted) == ([], ["a", "b"], [])
    assert TARGET_LINK in found.remove
