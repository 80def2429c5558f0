"""A VM whose process still runs is shown without asking anybody; any other is looked up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.endpoint.conftest import AUTO, DOMAIN, Endpoint
from tests.endpoint.login import VISITS

QMP = "/run/qemu-test.qmp"
CONSOLES = "/etc/novnc-fleet/consoles.json"
LOOKS = 8
"""TigerVNC shuts out after four that leave without a login."""


def shown(endpoint: Endpoint, vm: str) -> str | None:
    """Return the desktop name that a visitor of a VM sees."""
    with endpoint.open(vm) as stream:
        return RfbClient(stream).handshake().name


def refused(endpoint: Endpoint, vm: str) -> str:
    """Return why there is no console."""
    with endpoint.open(vm) as stream, pytest.raises(HopError) as error:
        RfbClient(stream).handshake()
    return str(error.value)


@contextmanager
def qemu(on: Endpoint, unit: str, *words: str) -> Iterator[None]:
    """Run a VM of plain QEMU that has no more than a screen."""
    on.on.check_output(
        f"systemd-run --quiet --collect --unit={unit} qemu-system-x86_64 -nodefaults -vga std"
        f" -display none -S {' '.join(words)}"
    )
    try:
        yield
    finally:
        on.on.run(f"systemctl stop {unit}")


def listening(endpoint: Endpoint, *ports: int) -> None:
    """Wait until VMs listen."""
    for port in ports:
        endpoint.on.check_output(
            f"timeout 20 sh -c 'until ss -Hltn sport = :{port} | grep -q .; do sleep 0.05; done'"
        )


def test_libvirt_is_not_asked_for_a_vm_that_runs_on(libvirt: Endpoint) -> None:
    libvirt.ask("/consoles.json")
    libvirt.on.check_output("kill -STOP $(pgrep -x libvirtd)")
    try:
        assert shown(libvirt, "red") == "QEMU (red)"
        assert shown(libvirt, "socket") == "QEMU (socket)"
    finally:
        libvirt.on.check_output("kill -CONT $(pgrep -x libvirtd)")


def test_vms_that_have_traded_ports_are_each_shown(libvirt: Endpoint) -> None:
    xml = DOMAIN.format(name="blue", image="blue", graphics=AUTO)
    libvirt.on.check_output(
        "cp /var/lib/libvirt/images/red.img /var/lib/libvirt/images/blue.img;"
        f' cat > /run/blue.xml <<"END"\n{xml}END\nvirsh define /run/blue.xml && virsh start blue'
    )
    try:
        assert [shown(libvirt, vm) for vm in ("red", "blue")] == ["QEMU (red)", "QEMU (blue)"]
        ports = libvirt.on.check_output("virsh vncdisplay red; virsh vncdisplay blue").split()
        for first, second in (("blue", "red"), ("red", "blue")):
            libvirt.on.check_output("virsh destroy red; virsh destroy blue")
            libvirt.on.check_output(f"virsh start {first}; virsh start {second}")
            assert [shown(libvirt, vm) for vm in ("red", "blue")] == ["QEMU (red)", "QEMU (blue)"]
            now = libvirt.on.check_output("virsh vncdisplay red; virsh vncdisplay blue").split()
            if now == ports[::-1]:
                break
        else:
            pytest.fail(f"they never traded ports: {ports}, {now}")
    finally:
        libvirt.on.run("virsh destroy blue; virsh undefine blue")


def test_a_vm_that_has_gone_is_said_to_be(libvirt: Endpoint) -> None:
    assert shown(libvirt, "red") == "QEMU (red)"
    libvirt.on.check_output("virsh destroy red")
    try:
        assert "red is switched off" in refused(libvirt, "red")
    finally:
        libvirt.on.check_output("virsh start red")


def test_a_console_that_was_typed_since_is_known(plain: Endpoint) -> None:
    with qemu(plain, "one", "-name", "solo", "-vnc", "127.0.0.1:40"):
        listening(plain, 5940)
        assert shown(plain, "solo") == "QEMU (solo)"
        with typed(plain, "solo", "127.0.0.1:5991"):
            assert "2 VMs of this host are called solo" in refused(plain, "solo")


@contextmanager
def typed(endpoint: Endpoint, vm: str, vnc: str) -> Iterator[None]:
    """Have one more typed console for a while."""
    before = endpoint.on.file(CONSOLES).content_string
    consoles = [*json.loads(before)]
    consoles.append({**consoles[0], "vm": vm, "title": vm, "vnc": vnc,
                     "expect_name": "OTHER", "expect_strict": True})  # fmt: skip
    endpoint.on.check_output(
        f"cat > {CONSOLES}.new <<'END'\n{json.dumps(consoles)}\nEND\nmv {CONSOLES}.new {CONSOLES}"
    )
    try:
        yield
    finally:
        endpoint.on.check_output(f"cat > {CONSOLES} <<'END'\n{before}END")


def test_a_server_elsewhere_that_wants_a_login_is_asked_once(
    plain: Endpoint, libvirt: Endpoint
) -> None:
    def state() -> str:
        found = json.loads(plain.ask("/consoles.json")[1])
        (state,) = [one["state"] for one in found if one["vm"] == "far"]
        return str(state)

    source = (Path(__file__).parent / "login.py").read_text()
    libvirt.on.check_output(f"cat > /run/login.py <<'END'\n{source}END")
    libvirt.on.check_output("systemd-run --quiet --collect --unit=test-login python3 /run/login.py")
    try:
        listening(libvirt, 5977)
        with typed(plain, "far", f"{libvirt.address}:5977"):
            assert [state() for _ in range(LOOKS)] == ["running"] * LOOKS
            assert libvirt.on.file(str(VISITS)).content_string == "1"
            libvirt.on.check_output("systemctl stop test-login")
            # Nothing tells, until somebody has not reached it.
            assert state() == "running"
            assert "the VNC server of far cannot be reached" in refused(plain, "far")
            assert state() == "off"
    finally:
        libvirt.on.run("systemctl stop test-login")


def test_of_two_vms_of_one_name_each_is_shown_by_uuid(plain: Endpoint) -> None:
    uuids = [f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2)]
    with qemu(plain, "one", "-name", "twin", "-uuid", uuids[0], "-vnc", "127.0.0.1:40"):
        listening(plain, 5940)
        assert shown(plain, "twin") == "QEMU (twin)"
        with qemu(plain, "two", "-name", "twin", "-uuid", uuids[1], "-vnc", "127.0.0.1:41"):
            listening(plain, 5941)
            words = refused(plain, "twin")
            assert "2 VMs of this host are called twin; open one by its uuid" in words
            assert all(uuid in words for uuid in uuids)
            assert [shown(plain, uuid) for uuid in uuids] == ["QEMU (twin)"] * 2
        assert shown(plain, "twin") == "QEMU (twin)"


@pytest.mark.parametrize("taken", [False, True])
def test_a_screen_that_has_left_its_place_shows_no_other(plain: Endpoint, taken: bool) -> None:
    words = ("-name", "mover", "-vnc", "127.0.0.1:40", "-qmp", f"unix:{QMP},server=on,wait=off")
    with qemu(plain, "mover", *words):
        listening(plain, 5940)
        assert shown(plain, "mover") == "QEMU (mover)"
        address = {"type": "inet", "host": "127.0.0.1", "port": "5941"}
        monitor(plain)("display-update", {"type": "vnc", "addresses": [address]})
        listening(plain, 5941)
        if not taken:
            assert "cannot be reached" in refused(plain, "mover")
            return
        with qemu(plain, "thief", "-name", "thief", "-vnc", "127.0.0.1:40"):
            listening(plain, 5940)
            assert "shows another VM: 'QEMU (thief)'" in refused(plain, "mover")
            assert shown(plain, "thief") == "QEMU (thief)"


def monitor(endpoint: Endpoint) -> Callable[[str, object], None]:
    """Return a function that has a VM's monitor do something."""

    def do(command: str, arguments: object) -> None:
        asked = json.dumps({"execute": command, "arguments": arguments})
        script = (
            "import socket; s = socket.socket(socket.AF_UNIX); "
            f"s.connect({QMP!r}); f = s.makefile('rw'); f.readline(); "
            'f.write(\'{"execute": "qmp_capabilities"}\\n\'); f.flush(); f.readline(); '
            f"f.write({asked!r} + '\\n'); f.flush(); print(f.readline())"
        )
        answer = endpoint.on.check_output(f"python3 -c {json.dumps(script)}")
        assert '"return"' in answer, answer

    return do
