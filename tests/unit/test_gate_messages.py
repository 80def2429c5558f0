# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the endpoint's gate lets a client say after the handshake."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb_messages import (
    framebuffer_update_request,
    key_event,
    pointer_event,
    set_encodings,
    set_pixel_format,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fakes import greeting, untimed
from tests.unit.passage import CLIENT, SERVER, Passage, Piece, bytewise, watched

HELLO = b"RFB 003.008\n\x01\x01"
"""What a client says until the handshake is done."""

REQUEST = framebuffer_update_request(0, 0, 720, 400, incremental=True)
UPDATES = struct.pack(">BBHHHH", 150, 1, 0, 0, 720, 400)
CLIPBOARD = 0xC0A1E5CE - 2**32


def fence(payload: bytes) -> bytes:
    return struct.pack(">BxxxIB", 248, 1, len(payload)) + payload


def cut_text(content: bytes, sign: int = 1) -> bytes:
    return struct.pack(">Bxxxi", 6, sign * len(content)) + content


PASSING = {
    "SetPixelFormat": set_pixel_format(),
    "SetEncodings": set_encodings([0, 1, 7, 16, -223, -224, -239, -261, -312, -313]),
    "no encodings": set_encodings([]),
    "FramebufferUpdateRequest": REQUEST,
    "EnableContinuousUpdates": UPDATES,
    "ClientFence": fence(b"12345678"),
    "empty ClientFence": fence(b""),
    "long ClientFence": fence(bytes(255)),
}

DROPPED = {
    "KeyEvent": key_event(0x61, True),
    "PointerEvent": pointer_event(10, 10, 1),
    "PointerEvent with eight buttons": pointer_event(10, 10, 0xFF),
    "ClientCutText": cut_text(b"\x04\x01\x00\x00\x00\x00\x00A" * 9),
    "empty ClientCutText": cut_text(b""),
    "extended clipboard": cut_text(struct.pack(">I", 1 << 24) + b"x" * 99, sign=-1),
    "SetDesktopSize": struct.pack(">BxHHBx", 251, 99, 99, 2) + bytes(32),
    "no screens": struct.pack(">BxHHBx", 251, 99, 99, 0),
    "QEMU's extended key": struct.pack(">BBHII", 255, 0, 1, 0x61, 30),
    "QEMU's audio, on": struct.pack(">BBH", 255, 1, 0),
    "QEMU's audio, off": struct.pack(">BBH", 255, 1, 1),
    "QEMU's audio, format": struct.pack(">BBHBBI", 255, 1, 2, 3, 2, 44100),
    "xvp": struct.pack(">BxBB", 250, 1, 2),
    "gii": struct.pack(">BBH", 253, 0x80, 12) + bytes(12),
    "gii, little endian": struct.pack("<BBH", 253, 0, 12) + bytes(12),
}

INPUT = {name for name in DROPPED if name.split()[0] in ("KeyEvent", "PointerEvent")}
INPUT |= {"gii", "gii, little endian", "QEMU's extended key"}

UNKNOWN = {
    "type": b"\x07" + bytes(30),
    "message of QEMU": b"\xff\x02\x00\x00" + bytes(30),
    "audio of QEMU": b"\xff\x01\x00\x03" + bytes(30),
}


def opened(mode: str) -> Passage:
    """Return a session after the handshake that has passed nothing since."""
    passage = Passage(mode, "QEMU (web01)")
    passage.play((SERVER, greeting()), (CLIENT, HELLO))
    assert passage.gate.ready
    passage.to_server = passage.to_client = b""
    return passage


def sent(mode: str, *messages: bytes) -> Passage:
    return opened(mode).play(*((CLIENT, message) for message in messages))


@pytest.mark.parametrize("name", PASSING)
def test_who_watches_may_say(name: str) -> None:
    assert sent("watch", PASSING[name]).to_server == PASSING[name]
    assert sent("watch", PASSING[name]).gate.input_seen == 0


@pytest.mark.parametrize("name", DROPPED)
@pytest.mark.parametrize("piece", [1, 3, 10_000])
def test_who_watches_may_not_say(name: str, piece: int) -> None:
    stream = REQUEST + DROPPED[name] + REQUEST + DROPPED[name] * 2 + UPDATES
    passage = sent("watch", *(stream[i : i + piece] for i in range(0, len(stream), piece)))
    assert passage.to_server == REQUEST * 2 + UPDATES
    assert passage.gate.input_seen == (3 if name in INPUT else 0)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_nobody_knows_the_length_of(name: str) -> None:
    for cut in ([UNKNOWN[name]], [bytes([byte]) for byte in UNKNOWN[name]]):
        passage = sent("watch", *cut, REQUEST)
        assert "unknown type" in str(passage.refused)
        assert passage.to_server == passage.told == b""
        assert not passage.gate.ready
        controlling = sent("control", key_event(0x61, True), *cut, REQUEST)
        assert controlling.to_server == key_event(0x61, True) + UNKNOWN[name] + REQUEST
        assert controlling.gate.input_seen == 1 + len(UNKNOWN[name] + REQUEST)


def test_who_controls_need_not_be_understood_from_the_first_message_on() -> None:
    early = [(CLIENT, HELLO[:-1]), (SERVER, greeting()), (CLIENT, HELLO[-1:] + UNKNOWN["type"])]
    passage = Passage("control").play(*early, (CLIENT, b"four"))
    assert passage.to_server == HELLO + UNKNOWN["type"] + b"four"
    assert passage.gate.input_seen == len(UNKNOWN["type"]) + 4


@pytest.mark.parametrize("name", [*PASSING, *DROPPED])
def test_who_controls_may_say_everything(name: str) -> None:
    message = {**PASSING, **DROPPED}[name]
    passage = sent("control", message, message)
    assert passage.to_server == message * 2
    assert passage.gate.input_seen == (2 if name in INPUT else 0)


def test_encodings_that_invite_input_are_not_passed_on() -> None:
    asked = [7, -258, -308, -309, -316, CLIPBOARD, -305, -257, -259, 0, -261, 0x574D5664]
    passage = sent("watch", set_encodings(asked))
    assert passage.to_server == set_encodings([7, -223, 0, -261, 0x574D5664])
    assert sent("control", set_encodings(asked)).to_server == set_encodings(asked)


def test_extended_mouse_buttons() -> None:
    """Where client and server have agreed on them a bit marks the longer message."""
    event = pointer_event(1, 2, 0x80)
    both = sent("control", set_encodings([-316]), event + b"\x01", key_event(0x61, True))
    neither = sent("control", set_encodings([0]), event, key_event(0x61, True))
    assert both.gate.input_seen == neither.gate.input_seen == 2
    watching = sent("watch", set_encodings([-316]), event, REQUEST)  # the server never heard of it
    assert watching.to_server == set_encodings([]) + REQUEST


def test_a_long_paste_is_not_kept() -> None:
    passage = opened("watch")
    chunk = bytes(65536)
    tracemalloc.start()
    passage.play((CLIENT, struct.pack(">BxxxI", 6, 0x80000000)))  # the longest: 2 GB
    for _ in range(0x80000000 // len(chunk)):
        assert passage.gate.from_client(chunk) == b""
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(chunk)
    assert passage.gate.from_client(REQUEST) == REQUEST


def test_the_longest_message_that_is_kept() -> None:
    longest = set_encodings(range(65535))
    passage = opened("watch")
    tracemalloc.start()
    for start in range(0, len(longest), 1000):
        passage.play((CLIENT, longest[start : start + 1000]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert passage.to_server == longest
    assert peak < 32 * len(longest)  # unpacked for an instant


# Any bytes, and bytes that look like messages: alone, one after the other, cut, and with a wrong
# byte in the middle.
messages = st.sampled_from([*PASSING.values(), *DROPPED.values()])
streams = st.lists(
    st.one_of(
        messages,
        st.binary(max_size=30),
        st.sampled_from([*UNKNOWN.values()]),
        st.tuples(messages, st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]),
        st.lists(st.integers(-320, 20), max_size=9).map(set_encodings),
        st.binary(min_size=8, max_size=8).map(lambda rest: b"\x06" + rest),
    ),
    max_size=12,
).map(b"".join)


@given(streams)
@untimed
def test_whatever_comes_only_what_is_allowed_passes(stream: bytes) -> None:
    passage = sent("watch", stream)
    for kind, body in watched(passage.to_server):
        if kind == 2:
            encodings = struct.unpack(f">{len(body) // 4}i", body[3:])
            assert not {-258, -308, -309, -316, CLIPBOARD} & {*encodings}


@given(st.sampled_from(["control", "watch"]), streams)
@untimed
def test_pieces_make_no_difference(mode: str, stream: bytes) -> None:
    cut = sent(mode, *(data for _, data in bytewise([(CLIENT, stream)])))
    assert cut.agrees_with(sent(mode, stream))


conversations = st.lists(
    st.tuples(
        st.sampled_from([CLIENT, SERVER]),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    *(b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n", b"RFB 004.001\n"),
                    *(b"\x01\x01", b"\x01", b"\x02", b"\x01\x13", b"\x13", bytes(4), bytes(16)),
                    *(greeting(), greeting()[-36:], HELLO, REQUEST, key_event(0x61, True)),
                ]
            ),
        ),
    ),
    max_size=12,
)


@given(
    st.sampled_from(["control", "watch"]),
    st.sampled_from(["QEMU (web01)", None]),
    conversations,
)
@untimed
def test_whole_conversations(mode: str, expect_name: str | None, pieces: list[Piece]) -> None:
    """Nothing but Refused is raised, and pieces make no difference."""
    whole = Passage(mode, expect_name).play(*pieces)
    cut = Passage(mode, expect_name).play(*bytewise(pieces))
    assert cut.agrees_with(whole)
