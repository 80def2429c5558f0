"""Consoles outlive what happens to the gateway, and end when they have to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream

from tests.gateway.conftest import VMS, journal, sessions
from tests.gateway.visitor import (
    ask,
    cookie_of,
    last_words,
    log_in,
    name_shown,
    open_vm,
    refused,
    shown,
)
from tests.harness.fleet import run_playbook
from tests.harness.repeats import times
from tests.harness.waiting import wait_until

RUNNING = [vm for vm in VMS if vm != "db09"]
HOURS = 3600.0
RELOADS, RUNS = times(20, test=5), times(5, test=1)
TAKEN_AWAY = 30.0
"""Seconds after which nobody has a console any more by a right that was taken away."""


@contextmanager
def opened(count: int, cookie: str) -> Iterator[list[RfbClient]]:
    """Open consoles, of all VMs in turn."""
    with ExitStack() as stack:
        clients = []
        for number in range(count):
            vm = RUNNING[number % len(RUNNING)]
            stream = stack.enter_context(open_vm(vm, cookie, timeout=HOURS))
            clients.append(RfbClient(stream))
            assert clients[-1].handshake().name == f"QEMU ({vm})"
        yield clients


def lives(clients: list[RfbClient]) -> int:
    """Return how many consoles still show a screen."""
    return sum(bool(client.framebuffer().rgb) for client in clients)


def workers(gateway: Any) -> int:
    """Return how many processes nginx has that serve or see off."""
    return int(gateway.check_output("pgrep -c -u www-data nginx"))


def test_50_consoles_outlive_reloads_and_runs_of_the_role(
    gateway: Any, cookies: dict[str, str]
) -> None:
    idle = workers(gateway)
    with opened(50, cookies["ada"]) as clients:
        for _ in range(RELOADS):
            gateway.check_output("nginx -t -q && systemctl reload nginx")
            assert lives(clients[:3]) == 3
        for number in range(RUNS):
            # Never what is in force, so that nginx is reloaded.
            timeout = 28799 + number % 2
            option = f"novnc_gateway_worker_shutdown_timeout={timeout}"
            assert run_playbook("playbooks/gateway.yml", "-e", option).status == 0
        assert lives(clients) == 50
        assert workers(gateway) > idle
    # Those of the reloads end with their last console.
    wait_until(lambda: workers(gateway) == idle, 60, "the end of the old workers")
    assert run_playbook("playbooks/gateway.yml").status == 0


def test_while_the_directory_is_away_nobody_gets_in_and_consoles_live(
    gateway: Any, cookies: dict[str, str]
) -> None:
    with opened(6, cookies["ada"]) as clients:
        gateway.check_output("systemctl stop novnc-directory.socket novnc-directory.service")
        try:
            for _ in range(5):
                answer = log_in("ada")
                assert (answer.status, cookie_of(answer)) == (503, "")
                assert refused("db01", cookies["ada"]) == 503
                assert ask("/consoles.json", cookie=cookies["ada"]).status == 503
            assert lives(clients) == 6
        finally:
            gateway.check_output("systemctl start novnc-directory.socket novnc-directory.service")
        # Log-ins and what is known of open consoles have been kept.
        wait_until(
            lambda: ask("/consoles.json", cookie=cookies["ada"]).status == 200, 60, "the log-in"
        )
        assert lives(clients) == 6
        assert len(sessions(gateway)) >= 6


def test_a_directory_that_hangs_lets_nobody_in(gateway: Any, cookies: dict[str, str]) -> None:
    gateway.check_output("systemctl kill --signal=STOP novnc-directory")
    try:
        assert refused("db01", cookies["ada"]) == 503
    finally:
        gateway.check_output("systemctl kill --signal=CONT novnc-directory")
    assert name_shown("db01", cookies["ada"]) == "QEMU (db01)"


KILLS = """
process() { systemctl show -P MainPID novnc-directory; }
for _ in $(seq 10); do
  before=$(process)
  systemctl kill --signal=KILL novnc-directory
  until now=$(process); [ "$now" != 0 ] && [ "$now" != "$before" ]; do sleep 0.05; done
done
"""


def test_a_directory_that_is_killed_comes_back(gateway: Any, cookies: dict[str, str]) -> None:
    # Five starts within ten seconds are as many as systemd allows where nothing else is said; a
    # second between two of them would make it too few of them on a slow machine.
    drop_in = "/run/systemd/system/novnc-directory.service.d"
    gateway.check_output(
        f"mkdir {drop_in} && printf '[Service]\nRestartSec=0\n' > {drop_in}/at-once.conf"
        " && systemctl daemon-reload"
    )
    try:
        gateway.check_output(f"timeout 120 sh -c '{KILLS}'")
    finally:
        gateway.check_output(f"rm -r {drop_in} && systemctl daemon-reload")
    wait_until(lambda: ask("/consoles.json", cookie=cookies["ada"]).status == 200, 60, "the log-in")


def test_log_out_ends_the_users_consoles(gateway: Any, cookies: dict[str, str]) -> None:
    cookie = cookie_of(log_in("dora"))
    with (
        open_vm("db01", cookie) as one,
        open_vm("db02", cookie) as other,
        open_vm("db01", cookies["ada"]) as another,
    ):
        clients = [RfbClient(stream) for stream in (one, other, another)]
        for client in clients:
            client.handshake()
        untouched = clients[-1]
        assert ask("/logout", "POST", cookie=cookie, body="").status == 303
        start = time.monotonic()
        words = [last_words(stream) for stream in (one, other)]
        print(f"\nconsoles end {time.monotonic() - start:.2f} s after the log-out")
        assert all("ended by the gateway" in text for text in words), words
        assert time.monotonic() - start < 10
        assert ask("/consoles.json", cookie=cookie).status == 401
        assert lives([untouched]) == 1


def test_a_log_out_while_the_directory_restarts_still_ends_them(gateway: Any) -> None:
    cookie = cookie_of(log_in("dora"))
    with open_vm("db01", cookie) as stream:
        RfbClient(stream).handshake()
        gateway.check_output("systemctl restart novnc-directory")
        assert ask("/logout", "POST", cookie=cookie, body="").status == 303
        assert "ended by the gateway" in last_words(stream)


TAKEN: dict[str, Any] = {
    # Without dora, and with another password of kim's.
    "novnc_gateway_users": {
        "ada": {"password": "ada's password", "groups": ["staff"]},
        "wim": {"password": "wim's password", "groups": ["helpdesk"]},
        "noor": {"password": "noor's password"},
        "kim": {"password": "another password", "groups": ["helpdesk"]},
    },
    "novnc_gateway_rules": [
        {"match": "db*", "control": ["group:dba"], "watch": ["group:helpdesk"]},
        {"match": "mixed*", "watch": ["user:wim"]},
    ],
}
LOSE = {
    "dora": ("db01", "log-in is over"),
    "kim": ("db01", "log-in is over"),
    "wim": ("mixed01", "taken away"),
    "noor": ("mixed01", "taken away"),
}
"""Who looks at what until an account, a password, control or all rights are taken away, and hears
what."""


def test_a_right_that_is_taken_away_ends_what_it_had(gateway: Any, cookies: dict[str, str]) -> None:
    wait_until(lambda: {"db01", "mixed01"} <= shown(cookies["ada"]).keys(), 60, "the VMs")
    with ExitStack() as stack, opened(1, cookies["ada"]) as others:
        endings = {}
        for user, (vm, _) in LOSE.items():
            stream = stack.enter_context(open_vm(vm, cookie_of(log_in(user)), timeout=HOURS))
            RfbClient(stream).handshake()
            endings[user] = ending_of(stream)
        running = gateway.check_output("systemctl show -P MainPID novnc-directory")
        assert run_playbook("playbooks/gateway.yml", "-e", json.dumps(TAKEN)).status == 0
        # The change is in force by now, and it has been for as long as the rest of the run took.
        done = time.monotonic()
        for user, (_, expected) in LOSE.items():
            words, when = endings[user].get(timeout=TAKEN_AWAY)
            print(f"\nthe console of {user} ends {when - done:.2f} s after the run")
            assert expected in words, user
            assert when - done < TAKEN_AWAY, user
        assert lives(others) == 1
        assert gateway.check_output("systemctl show -P MainPID novnc-directory") == running
    assert run_playbook("playbooks/gateway.yml").status == 0
    # Another account or password has ended all log-ins.
    cookies["dora"] = cookie_of(log_in("dora"))
    for user, (vm, _) in LOSE.items():
        assert name_shown(vm, cookies.get(user) or cookie_of(log_in(user))) == f"QEMU ({vm})"


def ending_of(stream: ByteStream) -> SimpleQueue[tuple[str, float]]:
    """Return where it will be told how the other side closes, and when (``time.monotonic()``)."""
    found: SimpleQueue[tuple[str, float]] = SimpleQueue()
    threading.Thread(
        target=lambda: found.put((last_words(stream), time.monotonic())), daemon=True
    ).start()
    return found


def test_the_audit_tells_start_and_end_by_one_id(gateway: Any, hypervisors: dict[str, Any]) -> None:
    # One that has just been closed may still be known.
    others = {one["id"] for one in sessions(gateway)}
    with open_vm("mixed01", cookie_of(log_in("noor"))) as stream:
        RfbClient(stream).handshake()
        (known,) = [
            one for one in sessions(gateway) if one["user"] == "noor" and one["id"] not in others
        ]

    def events() -> list[dict[str, Any]]:
        return [one for one in journal(gateway) if one.get("id") == known["id"]]

    wait_until(lambda: len(events()) == 2, 60, "both events")
    start, end = events()
    assert (start["event"], end["event"]) == ("console-start", "console-end")
    facts = {"user": "noor", "vm": "mixed01", "host": "kvm17", "mode": "watch"}
    for event in (start, end):
        assert {key: event[key] for key in facts} == facts
        assert event["client"]
        assert event["uuid"]
    assert end["seconds"] >= 0
    assert end["bytes_out"] > 30
    assert end["reason"]
    endpoint = hypervisors["kvm17"].check_output("journalctl -u novnc-endpoint -o cat")
    assert known["id"] in endpoint


def test_caps_hold_and_old_workers_end_in_time(gateway: Any, cookies: dict[str, str]) -> None:
    changed = {"novnc_gateway_max_consoles_per_vm": 2, "novnc_gateway_worker_shutdown_timeout": 2}
    assert run_playbook("playbooks/gateway.yml", "-e", json.dumps(changed)).status == 0
    try:
        with open_two(cookies["ada"]):
            assert refused("db01", cookies["ada"]) == 503
            sentence = ask("/vm/db01/state.json", cookie=cookies["ada"]).json["sentence"]
            assert "as many as it may have" in sentence
            assert name_shown("db02", cookies["ada"]) == "QEMU (db02)"
        with open_vm("db02", cookies["ada"]) as stream:
            RfbClient(stream).handshake()
            gateway.check_output("systemctl reload nginx")
            assert last_words(stream)
    finally:
        assert run_playbook("playbooks/gateway.yml").status == 0


@contextmanager
def open_two(cookie: str) -> Iterator[list[ByteStream]]:
    """Open two consoles of one VM."""
    with ExitStack() as stack:
        wait_until(
            lambda: not ask("/vm/db01/state.json", cookie=cookie).json["sentence"],
            60,
            "the account that may",
        )
        streams = [stack.enter_context(open_vm("db01", cookie, timeout=HOURS)) for _ in range(2)]
        for stream in streams:
            RfbClient(stream).handshake()
        yield streams
