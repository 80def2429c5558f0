"""Who watches changes nothing, whatever they send, and goes on seeing what others do."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.framebuffer import Framebuffer
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.rfb_messages import (
    RAW,
    framebuffer_update_request,
    key_event,
    pointer_event,
    set_encodings,
    set_pixel_format,
)
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream

from tests.endpoint.conftest import Endpoint
from tests.harness.fleet import background

VM = "traced"
TRACED = "-trace input_event_* -trace vnc_msg_client_* -trace vnc_key_event_*"
"""QEMU tells its journal of every key, button and size that has come to the guest."""

EXTENDED_CLIPBOARD = 0xC0A1E5CE - 2**32
XVP = -309
RESET = 4
"""xvp's code."""
ROW = 3
"""Of what is typed, on the guest's screen."""
TYPED_Z = re.compile(r"qcode z, | \[z\]$|^input_event_sync$")


def key(dice: random.Random) -> bytes:
    return key_event(ord("x"), dice.random() < 0.5)


def extended_key(dice: random.Random) -> bytes:
    return struct.pack(">BBHII", 255, 0, dice.randrange(2), ord("x"), 0x2D)


def pointer(dice: random.Random) -> bytes:
    return pointer_event(dice.randrange(720), dice.randrange(400), dice.randrange(8))


def clipboard(dice: random.Random) -> bytes:
    text = dice.randbytes(dice.randrange(1, 300))
    return struct.pack(">BxxxI", 6, len(text)) + text


def size(dice: random.Random) -> bytes:
    width, height = dice.randrange(1, 2000), dice.randrange(1, 2000)
    return struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 0, 0, 0, width, height, 0)


def power(dice: random.Random) -> bytes:
    return struct.pack(">BxBB", 250, 1, dice.choice((2, 3, RESET)))


KINDS = (key, extended_key, pointer, clipboard, size, power)


@pytest.fixture(scope="module")
def traced(plain: Endpoint) -> Iterator[Endpoint]:
    """Return an endpoint with a VM that tells what reaches it."""
    plain.on.check_output(
        f"cat > /etc/test-vms/{VM}.env <<'END'\n"
        f"VNC=127.0.0.1:8,power-control=on\nQEMU_ARGS={TRACED}\nEND\n"
        f"systemctl start qemu-vm@{VM}"
    )
    with plain.open(VM) as stream:
        client = RfbClient(stream)
        client.handshake()
        while background(client) != guest_image.colour(VM):
            pass  # it is booting
    yield plain
    plain.on.check_output(f"systemctl stop qemu-vm@{VM}; rm /etc/test-vms/{VM}.env")


def reached(host: Any) -> list[str]:
    """Return what QEMU says has come to the guest so far."""
    lines = host.check_output(f"journalctl -u qemu-vm@{VM} -o cat").splitlines()
    return [line for line in lines if line.startswith(("input_event", "vnc_msg", "vnc_key"))]


def opened(stack: ExitStack, endpoint: Endpoint, mode: str) -> Visitor:
    """Open the VM's console."""
    stream = stack.enter_context(endpoint.open(VM, mode=mode, timeout=120))
    client = RfbClient(stream)
    client.handshake()
    return Visitor(stream, client)


@dataclass(frozen=True)
class Visitor:
    """A session and its client."""

    stream: ByteStream
    client: RfbClient

    def picture(self) -> Framebuffer:
        """Return the screen; all that was sent before has been read when it comes."""
        return self.client.framebuffer()

    def sees(self, count: int) -> Framebuffer:
        """Wait until that many characters of what was typed are on the screen; return it."""
        while echoed(picture := self.picture()) != count:
            pass
        return picture

    def cut_texts(self) -> int:
        """Return how many texts of the clipboard come until the screen's first pixels do.

        As an observer: of a server that has been told of the extended clipboard.
        """
        self.stream.send(framebuffer_update_request(0, 0, 1, 1))
        found = 0
        while (kind := self.stream.read_exactly(1)) != b"\0":
            assert kind == b"\3", f"message {kind!r}"
            (length,) = struct.unpack(">3xi", self.stream.read_exactly(7))
            self.stream.read_exactly(abs(length))
            found += 1
        (rectangles,) = struct.unpack(">xH", self.stream.read_exactly(3))
        for _ in range(rectangles):
            width, height = struct.unpack(">4xHH4x", self.stream.read_exactly(12))
            self.stream.read_exactly(4 * width * height)
        return found

    def observe(self) -> None:
        """Have the server tell of the clipboard; of no use for pictures from now on."""
        self.stream.send(set_pixel_format() + set_encodings([RAW, EXTENDED_CLIPBOARD]))
        self.cut_texts()


def echoed(picture: Framebuffer) -> int:
    """Return how many characters stand in the line that shows what is typed."""
    blank = picture.pixel(0, 0)
    cells = [
        any(
            picture.pixel(9 * column + x, 16 * ROW + y) != blank
            for x in range(9)
            for y in range(16)
        )
        for column in range(2, 78)
    ]
    return sum(cells)


def test_all_of_it_arrives_when_somebody_controls(traced: Endpoint) -> None:
    """What the next test finds missing can be seen where it is not."""
    dice = random.Random(1)  # noqa: S311 (the same each time)
    with ExitStack() as stack:
        observer = opened(stack, traced, "control")
        observer.observe()
        visitor = opened(stack, traced, "control")
        visitor.client.type_text("\nab")
        visitor.sees(2)
        for kind, seen in (
            (key, "input_event_key"),
            (extended_key, "vnc_key_event_ext"),
            (pointer, "input_event_btn"),
        ):
            before = len(reached(traced.on))
            visitor.stream.send(b"".join(kind(dice) for _ in range(10)))
            visitor.picture()
            assert any(line.startswith(seen) for line in reached(traced.on)[before:]), kind
        visitor.stream.send(clipboard(dice))
        visitor.picture()
        assert observer.cut_texts() == 1
        powerful = opened(stack, traced, "control")
        powerful.stream.send(set_encodings([XVP]) + struct.pack(">BxBB", 250, 1, RESET))
        visitor.sees(0)
        while visitor.picture().pixel(0, 0) != guest_image.colour(VM):
            pass  # it boots again
        visitor.stream.send(size(dice))
        visitor.stream.read_exactly(1)  # the answer, which no client here understands
        assert any(line.startswith("vnc_msg_client_set") for line in reached(traced.on))


def test_a_thousand_messages_of_who_watches_change_nothing(traced: Endpoint) -> None:
    dice = random.Random(2)  # noqa: S311 (the same each time)
    messages = [kind(dice) for kind in islice(cycle(KINDS), 1000)]
    dice.shuffle(messages)
    with ExitStack() as stack:
        observer = opened(stack, traced, "control")
        observer.observe()
        controls, watches = (opened(stack, traced, mode) for mode in ("control", "watch"))
        controls.client.type_text("\nabz")
        after = controls.sees(3)
        controls.client.type_text("\nab")
        before = controls.sees(2)
        process = traced.on.check_output(f"systemctl show -P MainPID qemu-vm@{VM}")
        told = len(reached(traced.on))
        for start in range(0, len(messages), 100):
            watches.stream.send(b"".join(messages[start : start + 100]))
            assert watches.picture() == before
        # What came through would stand before this in the guest's queue of keys.
        controls.client.type_text("z")
        while (seen := watches.picture()) == before:
            pass
        assert seen == after
        assert observer.cut_texts() == 0
        new = reached(traced.on)[told:]
        assert new
        assert [line for line in new if not TYPED_Z.search(line)] == []
        assert traced.on.check_output(f"systemctl show -P MainPID qemu-vm@{VM}") == process
