"""The endpoint's gate between the project's own RFB client and real QEMU, on every Python."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.framebuffer import Framebuffer
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.rfb_messages import (
    key_event,
    pointer_event,
)
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from tests.harness.waiting import wait_until
from tests.pythons.conftest import IMAGES
from tests.pythons.machine import PROJECT, Machine, started

PASSWORD = "gate1234"  # noqa: S105 (of a VM of this test)
VMS = {
    "open": ("", ""),
    "locked": (",password-secret=vnc", f"-object secret,id=vnc,data={PASSWORD}"),
    "sealed": (",tls-creds=tls", "-object tls-creds-anon,id=tls,endpoint=server"),
}
"""What QEMU is told of each VM's login: at its -vnc, and beside it."""

Open = Callable[..., AbstractContextManager["Visitor"]]


class Visitor(RfbClient):
    """An RFB client that can also log in with a password, and send anything."""

    def __init__(self, stream: ByteStream) -> None:
        super().__init__(stream)
        self.stream = stream

    def log_in(self, password: str) -> None:
        """Shake hands with VNC authentication (RFC 6143, section 7.2.2)."""
        assert self.handshake().security_types == (2,)
        self.stream.send(b"\x02")
        key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0"))
        des = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 (RFB's)
        self.stream.send(des.update(self.stream.read_exactly(16)))
        if self._read_number(4) != 0:
            raise HopError("refused", self._read_text("reason"))
        self.stream.send(b"\x00")  # to have the screen alone, which these QEMUs refuse
        self._read_server_init()


@pytest.fixture(scope="session")
def displays() -> Iterator[dict[str, tuple[str, int]]]:
    """Start the VMs; return where the VNC server of each is."""
    with started("py-test-gate", IMAGES["3.13"], python="/usr/bin/python3") as host:
        for display, (vm, (login, arguments)) in enumerate(VMS.items()):
            vnc = f"VNC={host.address}:{display}{login}\nQEMU_ARGS={arguments}\n"
            host.write(f"/etc/test-vms/{vm}.env", vnc)
        host.run("systemctl", "start", *(f"qemu-vm@{vm}" for vm in VMS))
        yield {vm: (host.address, 5900 + display) for display, vm in enumerate(VMS)}


@pytest.fixture(scope="session")
def visit(machine: Machine, displays: dict[str, tuple[str, int]]) -> Open:
    """Start the relay; return what opens a session: with a VM, as who, expecting which name."""
    kinds = [
        (vm, mode, name) for vm in VMS for mode in ("control", "watch") for name in (vm, "other")
    ]
    ports = {kind: 17000 + number for number, kind in enumerate(kinds)}
    routes = [
        {"port": port, "target": displays[vm], "mode": mode, "expect_name": f"QEMU ({name})"}
        for (vm, mode, name), port in ports.items()
    ]
    machine.run(
        *("systemd-run", "--quiet", "--unit=gate-relay"),
        f"--setenv=PYTHONPATH={PROJECT}/roles/novnc_endpoint/files",
        *(machine.python, "-B", "-W", "error", f"{PROJECT}/tests/pythons/gate_relay.py"),
        json.dumps(routes),
    )
    listening = "until [ $(ss -Hltn 'sport >= 17000' | wc -l) = $1 ]; do sleep 0.05; done"
    machine.run("timeout", "30", "sh", "-c", listening, "sh", str(len(ports)))

    @contextmanager
    def open_session(vm: str, mode: str, name: str = "") -> Iterator[Visitor]:
        port = ports[vm, mode, name or vm]
        with open_console(f"{machine.address}:{port}", timeout=60) as stream:
            yield Visitor(stream)

    return open_session


def shows(visitor: Visitor, vm: str) -> None:
    """Wait until the guest has booted."""
    colour = guest_image.colour(vm)
    wait_until(lambda: visitor.framebuffer().pixel(5, 5) == colour, 20, f"the screen of {vm}")


def typed(screen: Framebuffer) -> list[bytes]:
    """Return the pictures of the letters in row 3, where the guest echoes what is typed."""
    width, height = 9, 16
    rows = [screen.rgb[3 * screen.width * y :][: 3 * screen.width] for y in range(48, 48 + height)]
    cells = [
        b"".join(row[3 * x : 3 * (x + width)] for row in rows)
        for x in range(0, screen.width, width)
    ]
    return [cell for cell in cells if cell != cells[0]]  # which is the margin


def meddling() -> Iterator[bytes]:
    """Yield 1,000 messages of every kind that does something to a guest."""
    chosen = random.Random(1)  # noqa: S311 (the same each time)
    for number in range(100):
        yield key_event(0x61 + number % 26, True) + key_event(0x61 + number % 26, False)
        yield struct.pack(">BBHIIBBHII", 255, 0, 1, 0x62, 48, 255, 0, 0, 0x62, 48)
        yield pointer_event(chosen.randrange(720), chosen.randrange(400), 1) + pointer_event(1, 1)
        yield struct.pack(">BxxxI4s", 6, 4, b"text") + struct.pack(">BxxxiI", 6, -4, 1 << 25)
        yield struct.pack(">BxHHBxIHHHHI", 251, 640, 480, 1, 0, 0, 0, 640, 480, 0)
        yield struct.pack(">BxBB", 250, 1, chosen.choice([2, 3, 4]))


def test_who_watches_changes_nothing_and_sees_everything(visit: Open) -> None:
    with visit("open", "watch") as watching, visit("open", "control") as controlling:
        assert watching.handshake().name == controlling.handshake().name == "QEMU (open)"
        shows(watching, "open")
        controlling.type_text("\nq")
        wait_until(lambda: len(typed(controlling.framebuffer())) == 1, 20, "a single letter")
        before = watching.framebuffer()
        for messages in meddling():
            watching.stream.send(messages)
        # It is answered after all of them, and a key of theirs would be before the next one.
        assert watching.framebuffer() == before
        controlling.type_text("q")
        wait_until(lambda: watching.framebuffer() != before, 20, "another letter")
        after = watching.framebuffer()
        assert typed(after) == 2 * typed(before)
        assert controlling.framebuffer() == after


@pytest.mark.parametrize("mode", ["control", "watch"])
def test_behind_a_password(visit: Open, mode: str) -> None:
    with visit("locked", mode) as visitor:
        visitor.log_in(PASSWORD)
        assert visitor.info.name == "QEMU (locked)"
        shows(visitor, "locked")
    with visit("locked", mode) as visitor, pytest.raises(HopError, match="Authentication failed"):
        visitor.log_in("wrong")


@pytest.mark.parametrize("mode", ["control", "watch"])
def test_another_vm_is_refused(visit: Open, mode: str) -> None:
    wrong = r"'QEMU \(other\)' shows another VM: 'QEMU \({}\)'"
    with pytest.raises(HopError, match=wrong.format("open")), visit("open", mode, "other") as it:
        it.handshake()
    with (
        pytest.raises(HopError, match=wrong.format("locked")),
        visit("locked", mode, "other") as it,
    ):
        it.log_in(PASSWORD)


def test_what_nobody_can_look_into(visit: Open) -> None:
    with visit("sealed", "control") as visitor:
        assert visitor.handshake().security_names == ["vencrypt"]
        visitor.stream.send(b"\x13")
        assert visitor.stream.read_exactly(2) == b"\x00\x02"  # VeNCrypt's version: QEMU answers
    refused = "cannot be watched, only controlled"
    with pytest.raises(HopError, match=refused), visit("sealed", "watch") as visitor:
        visitor.handshake()
