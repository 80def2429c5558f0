"""From one version to the next and back: nobody is cut, and no page is of two versions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError

from tests.harness.fleet import Console, background
from tests.harness.releases import archive, checksum
from tests.harness.waiting import wait_until
from tests.upgrade.conftest import NEW, OLD, converge, forget, load, watched

EVERY = 0.02
"""Seconds between two loads of a page by somebody who never leaves."""

NOW_AND_THEN = 4.0
"""The same for somebody who lets the console come to rest between (2 s, and up to 1 more)."""


def is_at_rest(console: Console) -> bool:
    return console.main_pid() == 0


def test_nobody_notices_an_upgrade_or_the_way_back(find: Callable[[str], Console]) -> None:
    for before, after in ((OLD, NEW), (NEW, OLD)):
        nobody_notices(find, before, after)


def nobody_notices(
    find: Callable[[str], Console], before: dict[str, str], after: dict[str, str]
) -> None:
    """See what people at consoles get while versions are exchanged."""
    old, new = before["novnc_version"], after["novnc_version"]
    consoles = [find(vm) for vm in ("one", "two", "three")]
    wait_until(lambda: all(map(is_at_rest, consoles)), 30, "consoles at rest")
    with ExitStack() as stack:
        session = stack.enter_context(consoles[0].session(timeout=900))
        colour = background(session)
        in_use = stack.enter_context(watched(consoles[0], EVERY))
        polled = stack.enter_context(watched(consoles[1], EVERY))
        visited = stack.enter_context(watched(consoles[2], NOW_AND_THEN))
        run = converge(after)
        assert run.status == 0, run.output
        wait_until(lambda: new in visited.seen, 30, "the new version for the next visitor")
        assert background(session) == colour
    for watch in (in_use, polled, visited):
        assert watch.faults == []
    # Whoever is there keeps the version to the end; the next visitor has the new one.
    assert in_use.changes == polled.changes == [old]
    assert visited.changes == [old, new]
    for console in consoles:
        wait_until(lambda one=console: is_at_rest(one), 30, "console at rest")  # type: ignore[misc]
        assert load(console) == {new}
        with console.session() as client:
            assert client.info.name == f"QEMU ({console.vm})"
    again = converge(after)
    assert (again.status, again.changed) == (0, 0), again.output


def test_a_cut_gives_all_the_new_version_at_once(find: Callable[[str], Console]) -> None:
    cut = {**NEW, "novnc_console_restart_on_upgrade": True}
    console = find("one")
    with console.session(timeout=900) as client:
        checked = converge({**OLD, "novnc_console_restart_on_upgrade": True})
        assert (checked.status, checked.changed) == (0, 0), checked.output
        background(client)
        run = converge(cut)
        assert run.status == 0, run.output
        assert load(console) == {"1.6.0"}
        with pytest.raises(HopError):
            background(client)
    with console.session(timeout=900):
        again = converge(cut)
    assert (again.status, again.changed) == (0, 0), again.output


def test_a_version_in_use_is_kept(find: Callable[[str], Console], host: Any) -> None:
    keep_none = {**NEW, "novnc_keep_versions": 0, "websockify_keep_versions": 0}
    console = find("one")
    with console.session(timeout=900):
        assert load(console) == {"1.3.0"}
        run = converge(keep_none)
        assert run.status == 0, run.output
        assert load(console) == {"1.3.0"}
        assert host.file("/opt/novnc/1.3.0").is_directory
        # What has been imported is not needed any more.
        assert not host.file("/opt/websockify/0.12.0").exists
    wait_until(lambda: is_at_rest(console), 30, "console at rest")
    assert converge(keep_none).status == 0
    assert sorted(host.check_output("ls -A /opt/novnc").split()) == [
        ".1.6.0.json",
        "1.6.0",
        "current",
    ]
    assert load(console) == {"1.6.0"}


def test_what_was_changed_by_hand_is_made_good(find: Callable[[str], Console], host: Any) -> None:
    root, library = "/opt/novnc/1.3.0", "/opt/websockify/0.12.0"
    with find("one").session(timeout=900) as client, watched(find("one"), EVERY) as watch:
        for damage in (
            f"rm {library}/websockify/websocket.py {root}/vnc_lite.html",
            f"echo mine > {root}/app/mine.js && ln -s /etc {root}/app/etc",
            f"chmod 700 {library}/websockify && chown nobody {root}/core/websock.js",
        ):
            host.check_output(damage)
            run = converge(OLD)
            assert run.status == 0, run.output
            assert run.changed, run.output
        again = converge(OLD)
        assert (again.status, again.changed) == (0, 0), again.output
        background(client)
    # It was mended in place, so nobody was turned away meanwhile.
    assert watch.faults == []
    assert not host.file(f"{root}/app/mine.js").exists
    assert not host.file(f"{root}/app/etc").exists
    assert load(find("two")) == {"1.3.0"}


def test_another_build_of_what_is_in_force_is_refused(
    find: Callable[[str], Console], host: Any, tmp_path: Path
) -> None:
    other = tmp_path / "release"
    other.write_bytes(archive("1.3.0").read_bytes() + b"\0")
    url = {"novnc_archive_url": f"file://{other}", "novnc_archive_checksum": checksum(other)}
    run = converge({**OLD, **url})
    assert run.status == 2, run.output
    assert "/opt/novnc/1.3.0 is in use and was made from another release" in " ".join(
        run.output.split()
    )
    assert load(find("one")) == {"1.3.0"}


def test_what_is_not_ours_is_left_alone(host: Any) -> None:
    forget(host, NEW)
    host.check_output("mkdir -p /opt/novnc/1.6.0 && echo mine > /opt/novnc/1.6.0/vnc.html")
    try:
        run = converge(NEW)
        assert run.status == 2, run.output
        assert "/opt/novnc/1.6.0 is there and nobody here has made it" in run.output
        assert host.file("/opt/novnc/1.6.0/vnc.html").content_string == "mine\n"
    finally:
        host.check_output("rm -r /opt/novnc/1.6.0")
