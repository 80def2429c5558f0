"""Every kind of VM on a real host is found and told rightly, and drift is seen."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.fleet import INVENTORY, Playbook, hosts, run_playbook
from tests.harness.project import BIN, ENV, ROOT
from tests.libvirt.domains import define, forget

DRIFT = ROOT / "playbooks" / "drift.yml"
CONSOLES = "/etc/novnc-fleet/consoles.json"
SECRET = "hunter2"  # noqa: S105 (what must not be told)

UMLAUT = "Über uns 1"
GRAPHICS = {
    "fixed": "<graphics type='vnc' port='5910' autoport='no' listen='127.0.0.1'/>",
    "auto": "<graphics type='vnc' port='-1' autoport='yes'/>",
    "sock": "<graphics type='vnc'><listen type='socket'/></graphics>",
    "secret": f"<graphics type='vnc' port='5911' autoport='no' passwd='{SECRET}'/>",
    UMLAUT: "<graphics type='vnc' port='5912' autoport='no'/>",
    "ws": "<graphics type='vnc' port='5913' autoport='no' websocket='5713'/>",
    "wild": "<graphics type='vnc' port='5914' autoport='no' listen='0.0.0.0'/>",
    "six": "<graphics type='vnc' port='5915' autoport='no' listen='::1'/>",
    "blind": "",
    "off": "<graphics type='vnc' port='-1' autoport='yes'/>",
    "off-fixed": f"<graphics type='vnc' port='5916' autoport='no' passwd='{SECRET}'/>",
    "transient": "<graphics type='vnc' port='5917' autoport='no'/>",
}
OFF = ("off", "off-fixed")

QEMU = (
    "qemu-system-x86_64 -accel tcg,tb-size=16 -machine pc,acpi=off -m 16 -nodefaults -display none"
)
UUID = "01234567-89ab-4def-8123-456789abcdef"
PLAIN = {
    "plain": f"-name plain,process=vm -uuid {UUID.upper()} -vnc 127.0.0.1:20,password=on",
    "range": "-name range -vnc localhost:21,to=25,websocket=on",
    "double": "-name 'guest=double,debug-threads=on' -vnc unix:/run/double.vnc -vnc [::1]:30,id=b"
    " -qmp unix:/run/double.qmp,server=on,wait=off",
    "nameless": "-vnc 127.0.0.1:31",
}


@pytest.fixture(scope="module")
def host() -> Iterator[Any]:
    """Return the host with domains of every kind, and plain QEMU VMs beside them."""
    found = hosts()["kvm4"]
    for name, graphics in GRAPHICS.items():
        title = "Büro &amp; &lt;Co&gt;" if name == "auto" else ""
        verb = "create" if name == "transient" else "define"
        define(found, name, graphics, title=title, verb=verb)
        if name not in (*OFF, "transient"):
            found.check_output(f"virsh start {shlex.quote(name)}")
    for name, options in PLAIN.items():
        found.check_output(f"systemd-run --quiet --unit=plain-{name} {QEMU} {options}")
    found.check_output(
        "timeout 20 sh -c 'until ss -Htlnx | grep -q double.vnc && ss -Htln | grep -q :5931 &&"
        " ss -Htln | grep -q 127.0.0.1:5921; do sleep 0.1; done'"
    )
    yield found
    for name in GRAPHICS:
        forget(found, name)
    found.run(f"systemctl stop {' '.join(f'plain-{name}' for name in PLAIN)}")


def vm_info(directory: Path, *more: str, **options: Any) -> tuple[int, dict[str, Any]]:
    """Run the module as Ansible does; return the exit status and what it returned."""
    arguments = json.dumps({"host": "kvm4", **options})
    command = [str(BIN / "ansible"), "kvm4", "-i", INVENTORY, "-m", "novnc.fleet.vm_info"]
    done = subprocess.run(
        [*command, "-a", arguments, "--tree", str(directory), *more],
        cwd=ROOT,
        env=ENV,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    text = (directory / "kvm4").read_text()
    assert SECRET not in text + done.stdout + done.stderr
    result: dict[str, Any] = json.loads(text)
    return done.returncode, result


def by_name(result: dict[str, Any]) -> dict[str, Any]:
    """Return the VMs by name; none is there twice."""
    found = {vm["name"]: vm for vm in result["vms"]}
    assert len(found) == len(result["vms"])
    return found


def places(vm: dict[str, Any]) -> list[str]:
    """Return where a VM's displays are."""
    return [one["socket"] or f"{one['address']}:{one['port']}" for one in vm["displays"]]


@pytest.fixture(scope="module")
def found(host: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the VMs of the host."""
    host.check_output("virsh suspend auto")
    with typed(host, []):
        status, result = vm_info(tmp_path_factory.mktemp("info"))
    host.check_output("virsh resume auto")
    assert status == 0, result
    assert result["changed"] is False
    assert result["libvirt"] is True
    return by_name(result)


def test_every_domain_is_there_once_with_its_own_uuid_and_state(
    host: Any, found: dict[str, Any]
) -> None:
    for name in GRAPHICS:
        vm = found[name]
        assert vm["source"] == "libvirt"
        assert vm["uuid"] == host.check_output(f"virsh domuuid {shlex.quote(name)}").strip()
        assert vm["state"] == ("off" if name in OFF else "running"), name
    assert found["auto"]["title"] == "Büro & <Co>"


def test_every_display_is_where_it_listens(host: Any, found: dict[str, Any]) -> None:
    domid = host.check_output("virsh domid sock").strip()
    assert places(found["sock"]) == [f"/var/lib/libvirt/qemu/domain-{domid}-sock/vnc.sock"]
    display = host.check_output("virsh vncdisplay auto").strip()
    assert places(found["auto"]) == [f"127.0.0.1:{5900 + int(display.rpartition(':')[2])}"]
    expected = {
        "fixed": ["127.0.0.1:5910"],
        "secret": ["127.0.0.1:5911"],
        UMLAUT: ["127.0.0.1:5912"],
        "ws": ["127.0.0.1:5913"],
        "wild": ["0.0.0.0:5914"],
        "six": ["::1:5915"],
        "blind": [],
        "off": [],
        "off-fixed": ["127.0.0.1:5916"],
        "transient": ["127.0.0.1:5917"],
        "plain": ["127.0.0.1:5920"],
        "range": ["127.0.0.1:5921", "::1:5921"],
        "double": ["/run/double.vnc", "::1:5930"],
        "127.0.0.1:5931": ["127.0.0.1:5931"],
    }
    assert {name: places(found[name]) for name in expected} == expected


def test_passwords_websockets_and_wildcards_are_told(found: dict[str, Any]) -> None:
    wants = {
        vm["name"]: one["password_required"] for vm in found.values() for one in vm["displays"]
    }
    assert {name for name, password in wants.items() if password} == {"secret", "plain"}
    assert wants["fixed"] is False
    assert wants["off-fixed"] is None
    assert found["ws"]["displays"][0]["websocket_port"] == 5713
    assert found["range"]["displays"][0]["websocket_port"] == 5721
    assert found["wild"]["displays"][0]["wildcard"] is True
    assert "without a password" in found["wild"]["warnings"][0]
    assert "every Origin" in found["ws"]["warnings"][0]
    assert [name for name, vm in found.items() if vm["warnings"]] == ["ws", "wild", "range"]


def test_plain_vms_stand_beside_libvirts(found: dict[str, Any]) -> None:
    assert found["plain"]["uuid"] == UUID
    for name in ("plain", "range", "double", "127.0.0.1:5931"):
        assert (found[name]["source"], found[name]["state"]) == ("qemu", "running")


def test_check_mode_and_a_second_run_tell_the_same(host: Any, tmp_path: Path) -> None:
    assert host.exists("virsh")
    first, second = vm_info(tmp_path)[1], vm_info(tmp_path, "--check")[1]
    assert first["vms"] == second["vms"]


def test_a_monitor_is_asked_and_one_that_is_gone_is_a_vm_that_is_off(
    host: Any, tmp_path: Path
) -> None:
    assert host.file("/run/double.qmp").exists
    qmp = {"double": "/run/double.qmp", "gone": "/run/gone.qmp"}
    vms = by_name(vm_info(tmp_path, qmp=qmp)[1])
    assert sorted(places(vms["double"])) == ["/run/double.vnc", "::1:5930"]
    assert vms["gone"]["state"] == "off"


def test_libvirt_that_stops_or_hangs_is_an_error_and_no_empty_list(
    host: Any, tmp_path: Path
) -> None:
    units = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket libvirtd.service"
    host.check_output(f"systemctl stop {units}")
    try:
        status, result = vm_info(tmp_path)
        assert status != 0
        assert "libvirt does not answer" in result["msg"]
        run = run_playbook(DRIFT, "-e", f"novnc_drift_report={tmp_path}/drift.json")
        assert run.status == 2, run.output
        assert not (tmp_path / "drift.json").exists()
    finally:
        host.check_output("systemctl start libvirtd.socket libvirtd.service")
    host.check_output("kill -STOP $(pidof libvirtd)")
    try:
        status, result = vm_info(tmp_path, timeout=2)
        assert status != 0
        assert "within 2 s" in result["msg"]
    finally:
        host.check_output("kill -CONT $(pidof libvirtd)")
    assert vm_info(tmp_path)[0] == 0


def console(name: str, vnc: str) -> dict[str, Any]:
    """Return a direct console as the host's list has it."""
    own = {"host": "kvm4", "vm": name, "title": name, "vnc": vnc, "listen": "198.18.90.22:16099"}
    return {**own, "expect_name": f"QEMU ({name})", "expect_strict": False}


@contextmanager
def typed(host: Any, consoles: list[dict[str, Any]]) -> Iterator[None]:
    """Give the host another list of consoles for a while."""
    host.check_output(f"cp -p {CONSOLES} {CONSOLES}.kept")
    try:
        text = json.dumps(consoles)
        host.check_output(f'cat > {CONSOLES} <<"END"\n{text}\nEND')
        yield
    finally:
        host.check_output(f"mv {CONSOLES}.kept {CONSOLES}")


RIGHT = [
    *(console(name, f"127.0.0.1:{5910 + at}") for at, name in enumerate(("fixed", "secret"))),
    *(console(name, f"127.0.0.1:{5912 + at}") for at, name in enumerate((UMLAUT, "ws", "wild"))),
    console("six", "[::1]:5915"),
    console("transient", "127.0.0.1:5917"),
    console("plain", "localhost:5920"),
    console("range", "127.0.0.1:5921"),
    console("double", "unix:/run/double.vnc"),
    console("nobody-named-it", "127.0.0.1:5931"),
    console("off", "127.0.0.1:5999"),
    console("elsewhere", "192.0.2.1:5900"),
]


def fitting(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a list that fits the host's VMs: one console for each, as they are now."""
    chosen = [
        console(
            name, f"unix:{places(found[name])[0]}" if name == "sock" else places(found[name])[0]
        )
        for name in ("auto", "sock")
    ]
    return [*RIGHT, *chosen]


def drift(report: Path) -> tuple[Playbook, dict[str, list[dict[str, Any]]]]:
    """Run the playbook; return what it came to and what it reports."""
    run = run_playbook(DRIFT, "-e", f"novnc_drift_report={report}")
    assert run.changed == 0
    return run, json.loads(report.read_text())


def test_a_host_whose_consoles_fit_has_no_drift(
    host: Any, found: dict[str, Any], tmp_path: Path
) -> None:
    with typed(host, fitting(found)):
        run, report = drift(tmp_path / "drift.json")
        vms = by_name(vm_info(tmp_path)[1])
    assert run.status == 0, run.output
    assert "no drift" in run.output
    assert report == {"missing": [], "orphaned": [], "moved": []}
    assert set(vms) == {*GRAPHICS, *PLAIN, "nobody-named-it", "elsewhere"} - {"nameless"}
    assert vms["elsewhere"]["source"] == "consoles"


def test_what_has_drifted_is_told_and_ends_with_2(
    host: Any, found: dict[str, Any], tmp_path: Path
) -> None:
    lacking = [one for one in fitting(found) if one["vm"] not in ("fixed", "sock", "ws")]
    wrong = [console("ghost", "127.0.0.1:5998"), console("ws", "127.0.0.1:5910")]
    with typed(host, [*lacking, *wrong]):
        run, report = drift(tmp_path / "drift.json")
    assert run.status == 2, run.output
    rows = {kind: [(row["host"], row["vm"]) for row in rows] for kind, rows in report.items()}
    assert rows == {
        "missing": [("kvm4", "fixed"), ("kvm4", "sock")],
        "orphaned": [("kvm4", "ghost")],
        "moved": [("kvm4", "ws")],
    }
    assert report["moved"][0]["displays"] == ["127.0.0.1:5913"]
    for words in ("missing   kvm4  fixed", "orphaned  kvm4  ghost", "moved     kvm4  ws"):
        assert words in run.output


def test_a_host_that_is_down_is_told(host: Any, found: dict[str, Any], tmp_path: Path) -> None:
    down = '{"ansible_host": "198.18.90.99", "ansible_ssh_common_args": "-o ConnectTimeout=2"}'
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "down.yml").write_text(
        f"novnc_hypervisors: {{hosts: {{kvm9: {down}}}}}\n", encoding="utf-8"
    )
    report = tmp_path / "drift.json"
    with typed(host, fitting(found)):
        options = ("-i", str(tmp_path / "inventory"), "-e", f"novnc_drift_report={report}")
        run = run_playbook(DRIFT, *options)
    assert run.status == 4, run.output
    assert "not asked  kvm9" in run.output
    assert json.loads(report.read_text())["missing"] == []
