"""The playbooks: they converge, change nothing twice, cut nobody, and tell what is wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.harness import release
from tests.harness.fleet import (
    PKI,
    Console,
    background,
    fingerprints,
    hosts,
    open_as_gateway,
    run_playbook,
    variables,
)
from tests.harness.project import ROOT
from tests.harness.release_faults import CONTENT
from tests.harness.waiting import wait_until
from tests.integration.conftest import ALL

SITE, CHECK, GATEWAY = (ROOT / "playbooks" / f"{name}.yml" for name in ("site", "check", "gateway"))


def behind_endpoint(host: str, vm: str) -> str:
    """Return the address of a VM's console behind its host's endpoint."""
    return f"wss://{variables()[host]['ansible_host']}:16900/vm/{quote(vm)}/websockify"


def test_a_second_run_changes_nothing_and_cuts_nobody() -> None:
    with ExitStack() as stack:
        sessions = [stack.enter_context(console.session(timeout=900)) for console in ALL]
        endpoint = open_as_gateway(behind_endpoint("kvm2", "mail01"), PKI, timeout=200)
        sessions.append(RfbClient(stack.enter_context(endpoint)))
        sessions[-1].handshake()
        pids = [console.main_pid() for console in ALL]
        run = run_playbook(SITE)
        assert run.status == 0, run.output
        assert run.changed == 0, run.output
        assert [console.main_pid() for console in ALL] == pids
        for session in sessions:
            background(session)


def test_check_and_diff_write_nothing() -> None:
    before = fingerprints()
    run = run_playbook(SITE, "--check", "--diff")
    assert run.status == 0, run.output
    assert run.changed == 0, run.output
    assert fingerprints() == before


def test_a_host_that_is_down_stops_no_other() -> None:
    down = '{"ansible_host": "198.18.90.99", "ansible_ssh_common_args": "-o ConnectTimeout=2"}'
    with TemporaryDirectory() as directory:
        Path(directory, "down.yml").write_text(
            f"novnc_hypervisors: {{hosts: {{kvm9: {down}}}}}\n", encoding="utf-8"
        )
        run = run_playbook(SITE, "-i", directory)
    # The gateway, which has been told of it, forgets it again.
    assert run_playbook(GATEWAY).changed > 0
    assert run.status == 4, run.output
    assert "kvm9" in run.output
    for console in ALL:
        assert line_of(console.vm, run.output)[2] == "running"


@pytest.mark.parametrize(
    ("batches", "touched"), [({}, True), ({"novnc_serial": [1, "50%"]}, False)]
)
def test_a_canary_that_fails_stops_the_run(batches: dict[str, object], touched: bool) -> None:
    broken = {"novnc_install_method": "archive", "novnc_archive_url": "file:///nowhere.tar.gz"}
    broken |= {"novnc_version": "9.9.9", "novnc_archive_checksum": f"sha256:{'0' * 64}"}
    # Only kvm1, which comes first, has direct consoles, and so a noVNC.
    run = run_playbook(
        SITE, "-e", json.dumps({**broken, **batches}), "--limit", "novnc_hypervisors"
    )
    assert run.status == 2, run.output
    made = run.output.partition("PLAY [Make the consoles]")[2].partition("PLAY RECAP")[0]
    assert "/nowhere.tar.gz" in made
    assert ("[kvm2]" in made) == touched


def test_bad_input_changes_nothing() -> None:
    before = fingerprints()
    run = run_playbook(SITE, "-e", '{"novnc_vms": {"web01": 5900, "../../x": 5901, "b": "5901.5"}}')
    assert run.status == 2
    assert "Nothing was changed on any host" in run.output
    for host in hosts():
        assert f"{host}: ../../x: no name for a console" in run.output
        assert f"{host}: b: vnc '5901.5' is neither" in run.output
    assert fingerprints() == before


def test_a_gateways_faults_are_told_before_any_host_is_changed() -> None:
    rules = [{"match": "db*", "contro": ["group:dba"]}]
    run = run_playbook(SITE, "-e", json.dumps({"novnc_gateway_rules": rules}))
    assert run.status == 2
    assert "Nothing was changed on gw1" in run.output
    assert "contro" in run.output
    assert "PLAY [Plan all consoles" not in run.output


def test_a_knob_of_the_wrong_kind_on_one_host_changes_none() -> None:
    before = fingerprints()
    wrong = "{{ 'abc' if inventory_hostname == 'kvm1' else 60 }}"
    run = run_playbook(SITE, "-e", json.dumps({"novnc_console_idle_timeout": wrong}))
    assert run.status == 2
    assert "kvm1: it could not be planned; see above" in run.output
    assert fingerprints() == before


@contextmanager
def stopped(console: Console) -> Iterator[None]:
    """Switch a VM off for a while."""
    unit = f"qemu-vm@{console.vm}.service"
    console.on.check_output(f"systemctl stop {unit}")
    try:
        yield
    finally:
        console.on.check_output(f"systemctl start {unit}")


@contextmanager
def stranger(console: Console, name: str) -> Iterator[None]:
    """Put a VM of another name where a console's VM was."""
    qemu = f"qemu-system-x86_64 -accel tcg -m 16 -display none -name {name} -vnc 127.0.0.1:0"
    with stopped(console):
        console.on.check_output(f"systemd-run --quiet --unit=stranger {qemu}")
        try:
            listening = "until ss -Htln sport = :5900 | grep -q 127.0.0.1:5900; do sleep 0.1; done"
            console.on.check_output(f"timeout 20 sh -c '{listening}'")
            yield
        finally:
            console.on.check_output("systemctl stop stranger")


def rows_of(vm: str, output: str) -> list[list[str]]:
    """Return the rows of a VM in the table that a check ends with, its direct console's first."""
    lines = [re.split(r"\s{2,}", line.strip("- '\"")) for line in output.splitlines()]
    return [cells for cells in lines if cells[1:2] == [vm] and len(cells) == 4]


def line_of(vm: str, output: str) -> list[str]:
    """Return a VM's first row in that table."""
    return rows_of(vm, output)[0]


def test_a_check_passes_and_shows_every_console() -> None:
    run = run_playbook(CHECK)
    assert (run.status, run.changed) == (0, 0), run.output
    for console in ALL:
        assert line_of(console.vm, run.output) == [console.host, console.vm, "running", console.url]


def test_a_check_opens_every_vm_behind_its_endpoint() -> None:
    found = hosts()["kvm2"]
    start = found.check_output("date +%s")
    run = run_playbook(CHECK)
    verdicts = {"vault01": "unverified", "old01": "off"}
    for host, said in variables().items():
        for vm in {**said.get("test_host_vms", {}), **said.get("test_host_domains", {})}:
            *_, row, through_gateway = rows_of(vm, run.output)
            assert row[:3] == [host, vm, verdicts.get(vm, "running")]
            assert row[3].startswith(f"wss://{said['ansible_host']}:16900/vm/")
            assert through_gateway[:3] == row[:3]
            assert through_gateway[3].startswith("wss://198.18.90.13/vm/")
    journal = found.check_output(f"journalctl -u novnc-endpoint -o cat --since=@{start}")
    seen = [json.loads(line) for line in journal.splitlines() if line.startswith('{"event": "ses')]
    assert {one["mode"] for one in seen if one["user"] == "check"} == {"watch"}


def test_an_endpoint_that_does_not_answer_is_a_failure() -> None:
    hosts()["kvm2"].check_output("systemctl stop novnc-endpoint.socket novnc-endpoint.service")
    try:
        run = run_playbook(CHECK)
    finally:
        hosts()["kvm2"].check_output("systemctl start novnc-endpoint.service")
    assert run.status == 2
    assert rows_of("mail01", run.output)[-1][2] == "fault"
    assert rows_of("old01", run.output)[0][2] == "off"
    assert "nothing listens there" in run.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"novnc_check_from": "hypervisor"}, "stay on the controller"),
        (
            {"novnc_endpoint_cert": "/c", "novnc_endpoint_key": "/k", "novnc_endpoint_ca": "/a"},
            "write novnc_check_endpoint_cert",
        ),
    ],
)
def test_an_endpoint_that_cannot_be_opened_is_said(options: dict[str, str], words: str) -> None:
    run = run_playbook(CHECK, "-e", json.dumps(options))
    assert (run.status, run.changed) == (0, 0), run.output
    assert [row[0] for row in rows_of("*", run.output) if row[2] == "unchecked"] == ["kvm1", "kvm2"]
    assert words in run.output


def test_a_check_refuses_a_place_that_there_is_not() -> None:
    run = run_playbook(CHECK, "-e", "novnc_check_from=moon")
    assert run.status == 2
    assert "novnc_check_from is 'moon'; write controller or hypervisor" in run.output


def test_a_vm_that_is_off_is_reported_and_no_failure(by_name: Callable[[str], Console]) -> None:
    with stopped(by_name("win10")):
        run = run_playbook(CHECK)
    assert run.status == 0, run.output
    assert [row[2] for row in rows_of("win10", run.output)] == ["off"] * 3
    assert line_of("web01", run.output)[2] == "running"


def test_a_vm_that_is_full_is_told_and_no_failure() -> None:
    with ExitStack() as stack:
        for _ in range(16):
            stream = open_as_gateway(behind_endpoint("kvm2", "mail01"), PKI, timeout=200)
            RfbClient(stack.enter_context(stream)).handshake()
        run = run_playbook(CHECK)
    assert run.status == 0, run.output
    assert [row[2] for row in rows_of("mail01", run.output)[-2:]] == ["unchecked"] * 2
    assert "as many people as may look at it" in run.output
    assert rows_of("web01", run.output)[-1][2] == "running"


def test_a_gateway_that_is_down_or_lists_nothing_is_a_failure() -> None:
    gateway = hosts("novnc_gateways")["gw1"]
    for broken, mended, words in (
        (
            "systemctl stop nginx",
            "systemctl start nginx",
            "cannot be used as https://198.18.90.13/",
        ),
        (
            "systemctl stop novnc-directory.socket novnc-directory.service",
            "systemctl start novnc-directory.socket novnc-directory.service",
            "cannot be used as https://198.18.90.13/",
        ),
    ):
        gateway.check_output(broken)
        try:
            run = run_playbook(CHECK)
        finally:
            gateway.check_output(mended)
        assert run.status == 2
        assert words in run.output
    assert run_playbook(CHECK).status == 0


def test_a_checks_account_is_gone_when_it_ends() -> None:
    gateway = hosts("novnc_gateways")["gw1"]
    start = gateway.check_output("date +%s")
    run = run_playbook(CHECK)
    assert (run.status, run.changed) == (0, 0)
    journal = gateway.check_output(f"journalctl -u novnc-directory -o cat --since=@{start}")
    events = [json.loads(line) for line in journal.splitlines() if line.startswith("{")]
    made = [one["user"] for one in events if one["event"] == "account-made"]
    assert len(made) == 1
    # That of a check before it may have gone within the same second.
    assert made[0] in [one["user"] for one in events if one["event"] == "account-removed"]
    assert {one["mode"] for one in events if one["event"] == "console-start"} == {"watch"}
    start = gateway.check_output("date +%s")
    assert run_playbook(CHECK, "--check").status == 0
    journal = gateway.check_output(f"journalctl -u novnc-directory -o cat --since=@{start}")
    assert "account-made" not in journal


def test_another_vms_screen_is_a_failure(by_name: Callable[[str], Console]) -> None:
    with stranger(by_name("web01"), "win10"):
        run = run_playbook(CHECK)
    assert run.status == 2
    assert line_of("web01", run.output)[2] == "fault"
    assert "shows another VM: it announces 'QEMU (win10)'" in run.output


def test_an_unknown_name_is_unverified(by_name: Callable[[str], Console]) -> None:
    with stranger(by_name("web01"), "guest"):
        run = run_playbook(CHECK)
    assert run.status == 0, run.output
    assert line_of("web01", run.output)[2] == "unverified"


def test_an_unreachable_console_is_a_failure(by_name: Callable[[str], Console]) -> None:
    console = by_name("win10")
    console.on.check_output("systemctl stop novnc-console@win10.socket")
    try:
        run = run_playbook(CHECK)
        assert run.status == 2
        assert line_of("win10", run.output)[2] == "fault"
        assert "nothing listens there" in run.output
    finally:
        mended = run_playbook(ROOT / "playbooks" / "consoles.yml")
    assert (mended.status, mended.changed) == (0, 1), mended.output
    with console.session() as client:
        assert client.info.name == "QEMU (win10)"


def test_a_console_that_moves_lets_go_of_its_old_port(by_name: Callable[[str], Console]) -> None:
    console = by_name("win10")
    moved = '{"novnc_vms": {"web01": 5900, "win10": {"vnc": 5901, "listen_port": 6099}}}'
    consoles = ROOT / "playbooks" / "consoles.yml"
    with ExitStack() as stack:
        stack.enter_context(console.session(timeout=900))
        bystander = stack.enter_context(by_name("web01").session(timeout=900))
        try:
            run = run_playbook(consoles, "-e", moved, "--limit", "kvm1")
            assert run.status == 0, run.output
            listening = console.on.check_output("ss -Htln")
            assert "198.18.90.11:6099" in listening
            assert "198.18.90.11:6080" not in listening
            background(bystander)
        finally:
            back = run_playbook(consoles, "--limit", "kvm1")
    assert back.status == 0, back.output
    assert "198.18.90.11:6099" not in console.on.check_output("ss -Htln")


def test_a_console_that_is_no_longer_listed_is_removed(by_name: Callable[[str], Console]) -> None:
    console = by_name("win10")
    consoles = ROOT / "playbooks" / "consoles.yml"
    try:
        run = run_playbook(consoles, "-e", '{"novnc_vms": {"web01": 5900}}', "--limit", "kvm1")
        assert run.status == 0, run.output
        assert "198.18.90.11:6080" not in console.on.check_output("ss -Htln")
        assert (
            console.on.check_output(
                "find /etc -name '*win10*' ! -path '/etc/test-vms/*' ! -name 'qemu-vm@*'"
            )
            == ""
        )
    finally:
        back = run_playbook(consoles, "--limit", "kvm1")
    assert back.status == 0, back.output
    with console.session() as client:
        assert client.info.name == "QEMU (win10)"


def test_consoles_are_there_after_a_reboot(by_name: Callable[[str], Console]) -> None:
    console = by_name("win10")
    container = f"novnc-fleet-{console.host}"
    subprocess.run(["docker", "restart", container], check=True, timeout=60)
    running = ["docker", "exec", container, "systemctl", "is-system-running", "--wait"]

    def is_up() -> bool:  # at first there is nobody to ask
        asked = subprocess.run(running, capture_output=True, timeout=60, check=False)
        return asked.returncode == 0

    wait_until(is_up, 60, "the host is up again")
    assert console.on.service("novnc-endpoint").is_running
    with open_as_gateway(behind_endpoint(console.host, "win10"), PKI) as stream:
        assert RfbClient(stream).handshake().name == "QEMU (win10)"
    with console.session() as client:
        assert client.info.name == "QEMU (win10)"


def test_an_installed_collection_does_the_same(tmp_path: Path) -> None:
    """Built, installed into an empty path and run from there: nothing of the clone is used."""
    installed = tmp_path / "collections"
    release.install(release.build(tmp_path), installed)
    content = installed / "ansible_collections" / "novnc" / "fleet"
    assert {path.name for path in content.iterdir()} == CONTENT
    run = run_playbook("novnc.fleet.site", cwd=tmp_path, ANSIBLE_COLLECTIONS_PATH=str(installed))
    shutil.rmtree(installed)
    assert run.status == 0, run.output
    assert run.changed == 0, run.output
    assert line_of("web01", run.output)[2] == "running"
