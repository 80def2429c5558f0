"""`novnc-console` on real hosts: what it lists, what it ends, and which hop it calls broken."""

from __future__ import annotations

import datetime
import http.client
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.endpoint.conftest import DOMAINS, Endpoint, last_words
from tests.harness.certificates import self_signed
from tests.harness.fleet import Console, consoles, run_playbook
from tests.harness.project import ROOT

DOCTOR = ROOT / "playbooks" / "doctor.yml"

DIRECT = ["direct-target", "direct-listener", "direct-page", "direct-websocket"]
ENDPOINT = ["endpoint-listener", "endpoint-service", "endpoint-certificate"]


def called(host: Endpoint, *words: str) -> tuple[int, str, str]:
    """Return status, output and errors of the command."""
    done = host.on.run(shlex.join(["novnc-console", *words]))
    return done.rc, done.stdout, done.stderr


def told(host: Endpoint, *words: str) -> Any:
    """Return what the command tells as JSON, whatever its status."""
    return json.loads(called(host, *words, "--json")[1])


def direct(vm: str) -> Console:
    """Return a direct console of the plain host."""
    return next(one for one in consoles() if one.vm == vm)


@contextmanager
def broken(host: Endpoint, breaking: str, mending: str) -> Iterator[None]:
    """Break something by hand, and mend it in the end."""
    try:
        host.on.check_output(breaking)
        yield
    finally:
        host.on.check_output(mending)


def test_the_list_is_what_virsh_tells(libvirt: Endpoint) -> None:
    listed = {one["vm"]: one for one in told(libvirt, "list")}
    assert set(listed) == set(DOMAINS)
    running = libvirt.on.check_output("virsh list --name").splitlines()
    assert {name for name, one in listed.items() if one["state"] == "running"} == set(running)
    for name, one in listed.items():
        assert one["uuid"] == libvirt.on.check_output(f"virsh domuuid '{name}'").strip()
        assert (one["source"], one["endpoint"], one["direct"]) == ("libvirt", True, [])
    shown = libvirt.on.check_output("virsh domdisplay red").strip()
    number = int(shown.rpartition(":")[2])
    assert listed["red"]["vnc"] == [f"127.0.0.1:{5900 + number}"]


def test_the_list_tells_where_direct_consoles_are(plain: Endpoint) -> None:
    stop, start = (f"systemctl {verb} novnc-console@db01.socket" for verb in ("stop", "start"))
    with broken(plain, stop, start):
        listed = {one["vm"]: one["direct"] for one in told(plain, "list")}
        table = called(plain, "list")[1].splitlines()
    assert listed["web01"] == [{"console": "web01", "url": direct("web01").url, "listening": True}]
    assert listed["db01"][0]["listening"] is False
    assert table[0].split() == ["VM", "STATE", "SOURCE", "VNC", "ENDPOINT", "CONSOLE"]
    assert len({line.index("http") for line in table if "http" in line}) == 1
    assert next(line for line in table if "(nothing listens)" in line).startswith("db01")


def test_others_than_root_may_list_and_are_told_so(plain: Endpoint) -> None:
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups novnc-console"
    assert "web01" in plain.on.check_output(f"{nobody} list")
    for words in ("sessions", "kill web01", "doctor web01"):
        done = plain.on.run(f"{nobody} {words}")
        assert (done.rc, done.stdout) == (2, "")
        assert "needs root" in done.stderr


def test_all_is_well(plain: Endpoint) -> None:
    found = told(plain, "doctor", "web01")
    assert [one["hop"] for one in found["hops"]] == ["vm", "target", "rfb", *DIRECT, *ENDPOINT]
    assert (found["fault"], [one["ok"] for one in found["hops"]]) == (None, [True] * 10)
    assert called(plain, "doctor", found["uuid"].upper())[0] == 0


def test_rights_are_a_hop_where_a_socket_needs_them(plain: Endpoint, libvirt: Endpoint) -> None:
    hops = [one["hop"] for one in told(plain, "doctor", "db01")["hops"]]
    assert (hops[5], hops[-1]) == ("direct-rights", "endpoint-rights")
    assert told(libvirt, "doctor", "socket")["hops"][-1]["hop"] == "endpoint-rights"


QEMU = "$(systemctl show -P MainPID qemu-vm@web01)"
UNIT = "novnc-console@web01"
ENV = "/etc/novnc-fleet/consoles/web01.env"
ELSEWHERE = "sed -i s/127.0.0.1:{}/127.0.0.1:{}/ /etc/test-vms/web01.env"
RESTART = "systemctl restart qemu-vm@web01"

BREAKS = {
    "vm": ("systemctl stop qemu-vm@web01", "systemctl start qemu-vm@web01"),
    "rfb": (f"kill -STOP {QEMU}", f"kill -CONT {QEMU}"),
    "direct-target": (
        f"{ELSEWHERE.format(0, 7)}; {RESTART}",
        f"{ELSEWHERE.format(7, 0)}; {RESTART}",
    ),
    "direct-listener": (f"systemctl stop {UNIT}.socket", f"systemctl start {UNIT}.socket"),
    "direct-page": (
        "mv /usr/share/novnc/vnc.html /usr/share/novnc/gone.html",
        "mv /usr/share/novnc/gone.html /usr/share/novnc/vnc.html",
    ),
    "direct-websocket": (
        f"sed -i.bak s/127.0.0.1:5900/127.0.0.1:1/ {ENV}; systemctl stop {UNIT}.service",
        f"mv {ENV}.bak {ENV}; systemctl stop {UNIT}.service",
    ),
    "endpoint-listener": (
        "systemctl stop novnc-endpoint.socket",
        "systemctl start novnc-endpoint.socket novnc-endpoint.service",
    ),
    "endpoint-service": (
        "systemctl stop novnc-endpoint.service",
        "systemctl start novnc-endpoint.service",
    ),
}


@pytest.mark.parametrize("hop", BREAKS)
def test_the_broken_hop_is_named(plain: Endpoint, hop: str) -> None:
    with broken(plain, *BREAKS[hop]):
        found = told(plain, "doctor", "web01")
        status, text, _ = called(plain, "doctor", "web01")
    assert found["fault"] == hop, found
    last = found["hops"][-1]
    assert (last["hop"], last["ok"]) == (hop, False)
    assert last["mend"]
    assert all(one["ok"] for one in found["hops"][:-1])
    assert status == 1
    assert text.splitlines()[-1].split()[:2] == ["FAULT", hop]
    assert called(plain, "doctor", "web01")[0] == 0


def test_a_unit_that_is_not_enabled_is_a_fault(plain: Endpoint) -> None:
    link = f"/etc/systemd/system/novnc-consoles.target.wants/{UNIT}.socket"
    away = f"mv {link} /run/link; systemctl daemon-reload"
    with broken(plain, away, f"mv /run/link {link}; systemctl daemon-reload"):
        found = told(plain, "doctor", "web01")
    assert found["fault"] == "direct-listener"
    assert "not enabled" in found["hops"][-1]["detail"]


def test_a_domain_that_is_off_is_to_be_started(libvirt: Endpoint) -> None:
    status, text, _ = called(libvirt, "doctor", "stopped")
    assert status == 1
    assert text.splitlines()[-1].endswith("stopped is switched off; start it")


def test_missing_rights_are_named(plain: Endpoint) -> None:
    with broken(plain, "chmod 2700 /run/qemu", "chmod 2750 /run/qemu"):
        found = told(plain, "doctor", "db01")
    assert found["fault"] == "direct-rights"
    assert "Permission denied" in found["hops"][-1]["detail"]
    assert "novnc_console_groups" in found["hops"][-1]["mend"]


@pytest.mark.parametrize(
    ("first", "last", "words"), [(-9, -1, "expired on"), (-9, 9, "not trusted"), (1, 9, "clock")]
)
def test_a_wrong_certificate_is_named(plain: Endpoint, first: int, last: int, words: str) -> None:
    now = datetime.datetime.now(datetime.UTC)
    start, end = (now + datetime.timedelta(days=days) for days in (first, last))
    cert, key = (text.decode() for text in self_signed(plain.address, start, end))
    etc = "/etc/novnc-fleet/endpoint"
    wrong = (
        f"cp -a {etc} /run/right && cat > {etc}/tls.crt <<'END'\n{cert}END\n"
        f"cat > {etc}/tls.key <<'END'\n{key}END\nsystemctl reload novnc-endpoint.service"
    )
    right = f"cp -a /run/right/. {etc}; rm -r /run/right; systemctl reload novnc-endpoint.service"
    with broken(plain, wrong, right):
        found = told(plain, "doctor", "web01")
    assert found["fault"] == "endpoint-certificate", found
    assert words in found["hops"][-1]["detail"]
    assert told(plain, "doctor", "web01")["fault"] is None


def test_sessions_of_direct_consoles_are_told_and_ended(plain: Endpoint) -> None:
    web01, db01 = direct("web01"), direct("db01")
    assert called(plain, "kill", "web01")[0] in (0, 1)
    with web01.opened(timeout=60) as one, web01.opened(timeout=60) as two, db01.session():
        page = http.client.HTTPConnection(*web01.address, timeout=30)
        page.request("GET", "/vnc.html")
        assert page.getresponse().read()
        found = [known for known in told(plain, "sessions") if known["way"] == "direct"]
        page.close()
        session_of = {int(one["client"].rpartition(":")[2]): one["session"] for one in found}
        assert sorted(one["vm"] for one in found) == ["db01", "web01", "web01"]
        assert called(plain, "kill", session_of[one.port])[:2] == (
            0,
            f"ended {session_of[one.port]} of web01\n",
        )
        last_words(one.stream)
        left = [told_one["session"] for told_one in told(plain, "sessions")]
        assert session_of[one.port] not in left
        assert session_of[two.port] in left
        assert called(plain, "kill", "web01")[0] == 0
        assert [one["vm"] for one in told(plain, "sessions")] == ["db01"]
    with web01.session():
        pass  # the listener has stayed


def test_sessions_of_the_endpoint_are_told_and_ended(libvirt: Endpoint) -> None:
    """Those too that an older process of it sees off."""
    with libvirt.open("red", user="kim lee") as one, libvirt.open("red", mode="watch") as two:
        for stream in (one, two):
            RfbClient(stream).handshake()
        libvirt.on.check_output("systemctl restart novnc-endpoint")
        found = {known["user"]: known for known in told(libvirt, "sessions")}
        assert {user: one["mode"] for user, one in found.items()} == {
            "kim lee": "control",
            "kim": "watch",
        }
        assert {(known["vm"], known["way"]) for known in found.values()} == {("red", "endpoint")}
        identity = found["kim lee"]["session"]
        assert called(libvirt, "kill", identity)[:2] == (0, f"ended {identity} of red\n")
        assert "ended by root" in last_words(one)
        assert [known["user"] for known in told(libvirt, "sessions")] == ["kim"]
        assert called(libvirt, "kill", "red")[0] == 0
        last_words(two)
    assert told(libvirt, "sessions") == []


def test_nothing_to_end_is_told(plain: Endpoint) -> None:
    assert called(plain, "kill", "flood") == (1, "nobody looks at flood\n", "")
    assert called(plain, "kill", "web99") == (1, "there is no VM or session 'web99'\n", "")


def test_a_name_that_two_vms_have_is_a_question(plain: Endpoint) -> None:
    another = (
        "systemd-run --unit=another --property=Type=exec qemu-system-x86_64 -name web01"
        " -accel tcg -m 16 -nodefaults -display none -vnc 127.0.0.1:20"
    )
    with broken(plain, another, "systemctl stop another"):
        uuids = [one["uuid"] for one in told(plain, "list") if one["vm"] == "web01"]
        for command in ("doctor", "kill"):
            status, text, error = called(plain, command, "web01")
            assert (status, text) == (2, "")
            assert len(uuids) == 2
            assert all(uuid in error for uuid in uuids)


@pytest.mark.parametrize("words", [(), ("lists",), ("doctor",), ("list", "--jsno")])
def test_a_wrong_call_is_told(plain: Endpoint, words: tuple[str, ...]) -> None:
    status, text, error = called(plain, *words)
    assert (status, text) == (2, "")
    assert error.startswith("usage: novnc-console")


def test_the_command_and_the_endpoint_stand_alone(plain: Endpoint) -> None:
    library = "/usr/local/lib/novnc-fleet"
    sources = f"{library}/novnc_endpoint {library}/ansible_collections"
    away, back = f"mkdir /run/a; mv {sources} /run/a", f"mv /run/a/* {library}; rmdir /run/a"
    with broken(plain, away, back):
        assert told(plain, "doctor", "web01")["fault"] is None
    with broken(plain, f"mv {library}/command /run", f"mv /run/command {library}"):
        plain.on.check_output("systemctl restart novnc-endpoint.service")
        assert plain.ask("/healthz") == (200, "ok\n")


def test_the_playbook_finds_the_vm_and_changes_nothing(libvirt: Endpoint) -> None:
    for options in ((), ("--check",)):
        run = run_playbook(DOCTOR, "-e", "vm=red", *options)
        assert (run.status, run.changed) == (0, 0), run.output
        assert "kvm13: red" in run.output
        assert "the controller reaches wss://" in run.output
        assert "kvm14" not in run.output.partition("Show the way")[2].partition("TASK")[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-e", "vm=stopped"), "kvm13: vm: stopped is switched off; start it"),
        (("-e", "vm=web99"), "no hypervisor knows a VM of the name or uuid"),
        ((), "vm is not given"),
    ],
)
def test_the_playbook_fails_with_a_sentence(
    libvirt: Endpoint, options: tuple[str, ...], words: str
) -> None:
    run = run_playbook(DOCTOR, *options)
    assert run.status == 2, run.output
    assert words in " ".join(run.output.split())


def test_the_playbook_names_hosts_that_it_could_not_ask(plain: Endpoint, tmp_path: Any) -> None:
    dead = "novnc_hypervisors: {hosts: {dead: {ansible_host: 127.0.0.1, ansible_port: 1}}}\n"
    (tmp_path / "dead.yml").write_text(dead)
    more = ("-i", str(tmp_path / "dead.yml"))
    found = run_playbook(DOCTOR, *more, "-e", "vm=web01")
    assert found.status == 0, found.output
    unknown = run_playbook(DOCTOR, *more, "-e", "vm=web99")
    assert unknown.status == 2, unknown.output
    for run in (found, unknown):
        assert "dead: not asked, as it could not be reached" in run.output


def test_what_only_the_controller_cannot_reach_is_named(plain: Endpoint) -> None:
    files = f"/etc/novnc-fleet/consoles.json {ENV} /etc/systemd/system/{UNIT}.socket.d/*.conf"
    here, nowhere = f"{plain.address}:5900", "192.0.2.42:5900"
    again = f"systemctl daemon-reload; systemctl restart {UNIT}.socket"
    away = f"ip address add 192.0.2.42/32 dev lo; sed -i s/{here}/{nowhere}/ {files}; {again}"
    back = f"sed -i s/{nowhere}/{here}/ {files}; {again}; ip address del 192.0.2.42/32 dev lo"
    with broken(plain, away, back):
        run = run_playbook(DOCTOR, "-e", "vm=web01", "-e", "novnc_check_timeout=3")
        on_host = run_playbook(DOCTOR, "-e", "vm=web01", "-e", "novnc_check_from=hypervisor")
    assert run.status == 2, run.output
    words = " ".join(run.output.split())
    assert "kvm14: controller: cannot connect to 192.0.2.42:5900" in words
    assert "look at firewalls and routes" in words
    assert on_host.status == 0, on_host.output
