"""Consoles come, go and move; nobody sees another VM's screen, nobody else is cut."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from itertools import groupby
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.harness.fleet import Console, background, finished
from tests.lifecycle.conftest import VMS, converge, files, start

ADDRESS = "198.18.90.21"


def greeting(port: int) -> str | None:
    """Return the desktop name that a visitor of a port gets, None if nobody answers."""
    try:
        with open_console(f"ws://{ADDRESS}:{port}/websockify", timeout=5) as stream:
            return RfbClient(stream).handshake().name
    except HopError:
        return None


def listens(host: Any, port: int) -> bool:
    """Tell whether the host has a listener at a console's port."""
    return f"{ADDRESS}:{port}" in host.check_output("ss -Htln")


def test_swapped_ports_change_once_and_never_back(find: Callable[[str], Console]) -> None:
    seen: dict[int, list[str | None]] = {5900: [], 5901: []}
    after: dict[int, int] = {}
    done = threading.Event()

    def poll(port: int) -> None:
        while not done.is_set() or len(seen[port]) < max(500, after.get(port, 0) + 20):
            seen[port].append(greeting(port))

    with ExitStack() as stack:
        sessions = [stack.enter_context(find(vm).session(timeout=900)) for vm in ("one", "two")]
        threads = [threading.Thread(target=poll, args=(port,)) for port in seen]
        for thread in threads:
            thread.start()
        try:
            run = converge(
                {
                    **VMS,
                    "one": {"vnc": 5900, "listen_port": 5901},
                    "two": {"vnc": 5901, "listen_port": 5900},
                }
            )
            after.update({port: len(names) for port, names in seen.items()})
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert run.status == 0, run.output
        for session in sessions:
            with pytest.raises(HopError):
                background(session)
    assert sum(map(len, seen.values())) >= 1000
    expected = {5900: ["QEMU (one)", "QEMU (two)"], 5901: ["QEMU (two)", "QEMU (one)"]}
    for port, names in seen.items():
        assert [name for name, _ in groupby(filter(None, names))] == expected[port]
        assert set(names[after[port] + 1 :]) <= {expected[port][1]}


def test_a_removed_console_is_closed_and_its_viewers_are_gone(
    host: Any, find: Callable[[str], Console]
) -> None:
    with find("three").session(timeout=900) as viewer, find("one").session(timeout=60) as other:
        run = converge({"one": 5900, "two": 5901})
        assert run.status == 0, run.output
        assert not listens(host, 5902)
        with pytest.raises(HopError):
            background(viewer)
        background(other)


def test_a_new_console_cuts_nobody(find: Callable[[str], Console]) -> None:
    with ExitStack() as stack:
        open_sessions = [
            stack.enter_context(find(vm).session(timeout=900))
            for vm in ("one", "two")
            for _ in range(10)
        ]
        run = converge({**VMS, "four": 5903})
        assert run.status == 0, run.output
        for session in open_sessions:
            background(session)


def test_a_renamed_console_keeps_its_port(host: Any, find: Callable[[str], Console]) -> None:
    run = converge(
        {"one": 5900, "two": 5901, "third": {"vnc": 5902, "expect_name": "QEMU (three)"}}
    )
    assert run.status == 0, run.output
    assert greeting(5902) == "QEMU (three)"
    assert host.check_output("find /etc -name '*three*' ! -path '*test-vms*' ! -name 'qemu*'") == ""


def test_a_title_restarts_nothing(host: Any, find: Callable[[str], Console]) -> None:
    with find("one").session(timeout=900) as session:
        pid = find("one").main_pid()
        run = converge({**VMS, "one": {"vnc": 5900, "title": "Première"}})
        assert (run.status, run.changed) == (0, 1), run.output
        assert find("one").main_pid() == pid
        background(session)
    assert "Première" in host.file("/etc/novnc-fleet/consoles.json").content_string


def test_an_empty_list_leaves_no_console(host: Any) -> None:
    run = converge({})
    assert run.status == 0, run.output
    assert not any(listens(host, port) for port in (5900, 5901, 5902))
    assert host.file("/etc/novnc-fleet/consoles.json").content_string == "[]\n"


def many(count: int) -> dict[str, int]:
    """Return a list of consoles for VMs that are off."""
    return {f"vm{number}": 7000 + number for number in range(count)}


def test_two_hundred_consoles_and_a_limit_to_how_many_may_go(host: Any) -> None:
    run = converge({**VMS, **many(200)})
    assert run.status == 0, run.output
    assert host.check_output("ss -Htln").count(f"{ADDRESS}:70") == 100
    again = converge({**VMS, **many(200)})
    assert (again.status, again.changed) == (0, 0), again.output
    before = files(host)
    refused = converge(VMS)
    assert refused.status == 2
    assert "would remove 200 of 203 consoles" in refused.output
    assert "-e novnc_console_prune_limit=99" in refused.output
    assert files(host) == before
    some = converge({**VMS, **many(170)})
    assert some.status == 0, some.output
    allowed = converge(VMS, novnc_console_prune_limit=99)
    assert allowed.status == 0, allowed.output
    assert f"{ADDRESS}:70" not in host.check_output("ss -Htln")


HOSTILE = [
    *("../../x", "..", ".", "a b", "-rf", "--help", "$(id)", "`id`", "a;b", "a|b", "a&b", "a\nb"),
    *(
        "a\tb",
        "%n",
        "%i",
        "a%",
        "ü",
        "日本",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "'a'",
        '"a"',
        "a*",
        "a?",
    ),
    *("{{ 7 * 7 }}", "@ops", "a:b", "a@b", "x" * 64, "x" * 300, "", "a\u202eb", "_a"),
]
IMPOSSIBLE: dict[str, Any] = {
    "p01": 0,
    "p02": 65536,
    "p03": -1,
    "p04": 5900.5,
    "p05": True,
    "p06": None,
    "p07": [],
    "p08": "example.org",
    "p09": "::1:5900",
    "p10": "unix:relative",
    "p11": "unix:/run/vnc",
    "p12": "unix:/tmp/vnc",
    "p13": {"vnc": 5913, "listen_port": 22},
    "p14": {"vnc": 5914, "listen_address": "127.0.0.1"},
    "p15": {"vnc": 5915, "listen_address": "0.0.0.0"},
    "p16": {"vnc": 5916, "listen_address": "::"},
    "p17": {"vnc": 5917, "listen_address": "kvm3"},
    "p18": {"vnc": 5918, "listen_prot": 1},
    "p19": {"vnc": 5919, "listen_port": 5901},
    "p20": {"vnc": 5901, "listen_port": 6999},
    "P20": 6998,
}


def test_hostile_names_and_impossible_plans_change_nothing(host: Any) -> None:
    before = files(host)
    run = converge({**VMS, **dict.fromkeys(HOSTILE, 5999), **IMPOSSIBLE})
    assert run.status == 2, run.output
    told = " ".join(run.output.split())
    assert told.count("no name for a console") >= len(HOSTILE)
    for name in IMPOSSIBLE:
        assert f"kvm3: {name}: " in told, name
    assert files(host) == before


STEPS = ["reload", "stop", "remove", "first-write", "write", "daemon-reload", "start"]


def test_a_run_may_die_after_any_step(host: Any) -> None:
    host.check_output("touch /run/novnc-fleet-under-test")
    lists = [
        {"one": {"vnc": 5900, "listen_port": 5901}, "two": {"vnc": 5901, "listen_port": 5900}},
        VMS,
    ]
    try:
        for number, step in enumerate(STEPS):
            vms = lists[number % 2]
            killed = converge(vms, fail_after=step)
            assert killed.status == 2, (step, killed.output)
            mended = converge(vms)
            assert mended.status == 0, (step, mended.output)
            again = converge(vms)
            assert (again.status, again.changed) == (0, 0), (step, again.output)
            assert greeting(5900) == f"QEMU ({'two' if number % 2 == 0 else 'one'})", step
            assert greeting(5901) == f"QEMU ({'one' if number % 2 == 0 else 'two'})", step
    finally:
        host.check_output("rm /run/novnc-fleet-under-test")


def test_fail_after_means_nothing_outside_of_tests() -> None:
    run = converge({**VMS, "four": 5903}, fail_after="write")
    assert run.status == 0, run.output


def test_two_runs_at_once_wait_for_each_other(host: Any) -> None:
    lists = [{**VMS, **many(40)}, {**VMS, "x": 6990}]
    runs = [start(vms) for vms in lists]
    statuses = {finished(run).status for run in runs}
    # Whichever came last may have been refused to remove the other's 40 consoles.
    assert statuses <= {0, 2}
    assert 0 in statuses
    final = converge(lists[1], novnc_console_prune_limit=100)
    assert final.status == 0, final.output
    listed = json.loads(host.file("/etc/novnc-fleet/consoles.json").content_string)
    assert [entry["vm"] for entry in listed] == ["one", "two", "three", "x"]
    assert listens(host, 6990)
    assert not listens(host, 7001)


def test_a_full_disk_is_told_and_made_good(host: Any) -> None:
    place = "/etc/novnc-fleet/consoles"
    host.check_output(f"mount -t tmpfs -o size=4k,mode=755 tmpfs {place}")
    try:
        host.run(f"head -c 100000 /dev/zero > {place}/full")
        run = converge({**VMS, "four": 5903})
        assert run.status == 2
        assert "No space left on device" in run.output
    finally:
        host.check_output(f"umount {place}")
    mended = converge({**VMS, "four": 5903})
    assert mended.status == 0, mended.output
    assert listens(host, 5903)
    assert host.check_output("find /etc -name '.novnc-*'") == ""


def test_wrong_modes_and_owners_are_mended_without_a_restart(
    host: Any, find: Callable[[str], Console]
) -> None:
    with find("one").session(timeout=900) as session:
        host.check_output("chmod 666 /etc/novnc-fleet/consoles/one.env")
        host.check_output("chown nobody /etc/novnc-fleet/consoles.json")
        run = converge(VMS)
        assert (run.status, run.changed) == (0, 1), run.output
        background(session)
    modes = host.check_output(
        "stat -c '%a %U' /etc/novnc-fleet/consoles/one.env /etc/novnc-fleet/consoles.json"
    )
    assert modes.split("\n") == ["640 root", "644 root"]


def test_a_console_without_files_is_stopped(host: Any) -> None:
    host.check_output("rm -r /etc/novnc-fleet/consoles/three.env")
    host.check_output("rm -r /etc/systemd/system/novnc-console@three.socket.d")
    host.check_output("rm -r /etc/systemd/system/novnc-console@three.service.d")
    host.check_output(
        "rm /etc/systemd/system/novnc-consoles.target.wants/novnc-console@three.socket"
    )
    run = converge({"one": 5900, "two": 5901})
    assert run.status == 0, run.output
    assert not listens(host, 5902)


def test_a_port_that_systemd_has_lost_is_opened_again(host: Any) -> None:
    drop_in = "/etc/systemd/system/novnc-console@three.socket.d/novnc-fleet.conf"
    host.check_output(f"sed -i s/5902/5909/ {drop_in} && systemctl daemon-reload")
    host.check_output(f"sed -i s/5909/5902/ {drop_in} && systemctl daemon-reload")
    assert "active" in host.check_output("systemctl is-active novnc-console@three.socket")
    assert not listens(host, 5902)
    run = converge(VMS)
    assert (run.status, run.changed) == (0, 1), run.output
    assert greeting(5902) == "QEMU (three)"


def test_somebody_elses_instance_is_left_alone(host: Any) -> None:
    drop_in = "/etc/systemd/system/novnc-console@own.socket.d"
    host.check_output(f"mkdir {drop_in}")
    host.check_output(
        rf"printf '[Socket]\nListenStream={ADDRESS}:6997\n' > {drop_in}/mine.conf"
        " && systemctl daemon-reload && systemctl start novnc-console@own.socket"
    )
    try:
        run = converge({"one": 5900, "two": 5901})
        assert run.status == 0, run.output
        assert listens(host, 6997)
    finally:
        host.check_output("systemctl stop novnc-console@own.socket")
        host.check_output(f"rm -r {drop_in} && systemctl daemon-reload")
