"""VMs in libvirt's XML, as the `virsh dumpxml` of libvirt 9.0 printed it on a test host."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils import vms_libvirt
from ansible_collections.novnc.fleet.plugins.module_utils.vm import (
    Display,
    Vm,
    VmsError,
    tcp_display,
    unix_display,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_libvirt import (
    libvirt_domains,
    libvirt_is_there,
    parse_domains,
)
from hypothesis import given
from hypothesis import strategies as st

XML = Path(__file__).parent.joinpath("data", "domains.xml").read_text(encoding="utf-8")
VMS = {vm.name: vm for vm in parse_domains(XML)}

DISPLAYS: dict[str, list[Display]] = {
    "fixed": [tcp_display("127.0.0.1", 5910)],
    "auto": [tcp_display("127.0.0.1", 5900)],
    "sock": [unix_display("/var/lib/libvirt/qemu/domain-3-sock/vnc.sock")],
    "secret": [tcp_display("127.0.0.1", 5901, 0, True)],
    "Über uns 1": [tcp_display("127.0.0.1", 5902)],
    "ws": [tcp_display("127.0.0.1", 5903, 5700)],
    "wild": [tcp_display("0.0.0.0", 5930)],
    "v6": [tcp_display("::1", 5904)],
    "none": [],
    "nodisplay": [],
    "ownsock": [unix_display("/run/ownsock.vnc")],
    "transient": [tcp_display("127.0.0.1", 5905)],
    "stopped": [],
    "stoppedfixed": [tcp_display("127.0.0.1", 5920)],
}


@pytest.mark.parametrize("name", DISPLAYS)
def test_each_kind_of_display_is_found(name: str) -> None:
    assert list(VMS[name].displays) == DISPLAYS[name]


def test_no_domain_is_left_out() -> None:
    assert list(VMS) == list(DISPLAYS)


def test_a_domain_with_a_process_is_running_and_a_paused_one_too() -> None:
    assert {name for name, vm in VMS.items() if vm.state == "off"} == {"stopped", "stoppedfixed"}
    assert VMS["auto"].state == "running"  # paused when its XML was read


def test_a_domain_has_its_own_title_and_uuid() -> None:
    vm = VMS["auto"]
    assert (vm.title, vm.uuid) == ("Büro & <Co>", "f417c09b-49ef-40e5-9d43-53206b47ec2b")
    assert VMS["fixed"].title == "fixed"
    assert VMS["Über uns 1"].expect_name == "QEMU (Über uns 1)"


@pytest.mark.parametrize(
    ("graphics", "displays"),
    [
        ("<graphics type='vnc' port='-1'><listen type='address'/></graphics>", []),
        ("<graphics type='spice' port='5900'><listen type='address'/></graphics>", []),
        (
            "<graphics type='vnc' port='5900' websocket='-1'>"
            "<listen type='network' network='lan' address='10.0.0.2'/></graphics>",
            [tcp_display("10.0.0.2", 5900)],
        ),
        ("<graphics type='vnc' socket='/run/v'><listen type='socket'/></graphics>",
         [unix_display("/run/v")]),
        ("<graphics type='vnc' port='5900'><listen type='address' address='kvm1'/></graphics>", []),
    ],
)  # fmt: skip
def test_graphics_that_the_test_host_has_not(graphics: str, displays: list[Display]) -> None:
    assert list(domain(graphics).displays) == displays


def domain(graphics: str) -> Vm:
    """Return the VM of a domain that runs."""
    devices = f"<devices>{graphics}</devices>"
    (vm,) = parse_domains(f"<domain id='1'><name>n</name><uuid>u</uuid>{devices}</domain>")
    return vm


def test_graphics_in_metadata_are_not_the_domains() -> None:
    text = XML.replace("<memory", "<metadata><graphics type='vnc' port='1'/></metadata><memory")
    assert {vm.name: list(vm.displays) for vm in parse_domains(text)} == DISPLAYS


def test_what_is_no_xml_is_an_error_and_not_an_empty_list() -> None:
    with pytest.raises(VmsError, match="cannot be read"):
        parse_domains("<domain><name>half")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(VmsError):
        parse_domains(text)


@pytest.mark.parametrize(
    ("active", "file", "there"),
    [
        ("active", "enabled", True),
        ("inactive", "enabled", True),
        ("inactive", "enabled-runtime", True),
        ("failed", "disabled", True),
        ("activating", "disabled", True),
        ("inactive", "disabled", False),
        ("inactive", "indirect", False),
        ("inactive", "masked", False),
        ("inactive", "", False),
    ],
)
def test_libvirt_has_to_answer_where_a_unit_is_enabled_or_not_at_rest(
    active: str, file: str, there: bool
) -> None:
    absent = "Id=virtqemud.socket\nActiveState=inactive\nUnitFileState=\n"
    shown = f"{absent}\nId=libvirtd.service\nActiveState={active}\nUnitFileState={file}\n"
    assert libvirt_is_there(shown) is there


ONE, TWO = (f"<domain><name>{name}</name><uuid>{name}</uuid></domain>" for name in ("one", "two"))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only directory for programs; by what its systemctl says, libvirt is there."""
    monkeypatch.setattr(vms_libvirt, "ENVIRONMENT", {"PATH": str(tmp_path)})
    program(tmp_path, "systemctl", "echo UnitFileState=enabled")
    return tmp_path


def program(directory: Path, name: str, script: str) -> None:
    """Make a program of a few lines, with the shell's own commands."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def virsh(directory: Path, listed: str, shown: str) -> None:
    """Make a virsh that lists and shows so, and complains about a domain that has gone."""
    gone = "echo \"error: failed to get domain 'x'\" >&2; exit 1"
    program(directory, "virsh", f'case "$*" in *list*) {listed};; *) {shown}; {gone};; esac')


def test_without_virsh_libvirt_cannot_be_asked(programs: Path) -> None:
    with pytest.raises(VmsError, match="install libvirt-clients"):
        libvirt_domains()
    program(programs, "systemctl", "echo ActiveState=inactive")
    assert libvirt_domains() is None


def test_no_domains_are_an_empty_list(programs: Path) -> None:
    virsh(programs, "echo", "exit 1")
    assert libvirt_domains() == []


def test_a_domain_that_goes_while_it_is_read_is_no_error(programs: Path) -> None:
    mark = programs / "read"
    listed = f"echo one; test -e {mark} || echo two"
    virsh(programs, listed, f"echo '{ONE}'; : > {mark}")
    found = libvirt_domains()
    assert found is not None
    assert [vm.name for vm in found] == ["one"]


def test_a_domain_that_is_listed_and_never_shown_is_an_error(programs: Path) -> None:
    virsh(programs, "echo one; echo two", f"echo '{ONE}'")
    with pytest.raises(VmsError, match="3 times in a row"):
        libvirt_domains()
    virsh(programs, "echo one; echo two", f"echo '{ONE}{TWO}'")
    assert len(libvirt_domains() or []) == 2


def test_virsh_that_fails_or_hangs_is_an_error(programs: Path) -> None:
    program(programs, "virsh", "echo 'error: Failed to connect socket' >&2; exit 1")
    with pytest.raises(VmsError, match="Failed to connect socket; start its"):
        libvirt_domains()
    program(programs, "virsh", "exec /bin/sleep 10")
    with pytest.raises(VmsError, match=r"within 0\.2 s"):
        libvirt_domains(0.2)
