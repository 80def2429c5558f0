"""The endpoint's WebSocket frames: however they are cut, and whatever a client makes up."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    FrameParser,
    encode_frame,
    frame_head,
    masked,
)
from hypothesis import given
from hypothesis import strategies as st
from novnc_endpoint.frames import FrameFaultError, FrameReader, close_frame

MASK = b"\x01\x80\xff\x7e"
Found = list[tuple[int, bytes]]


def fed(reader: FrameReader, data: bytes, cuts: list[int]) -> Found:
    """Return what comes of bytes that arrive in pieces."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    return [one for piece in pieces for one in reader.feed(memoryview(piece))]


def merged(found: Found) -> Found:
    """Return the same with the data between two control frames in one piece."""
    whole: Found = []
    for opcode, payload in found:
        if opcode == BINARY and whole and whole[-1][0] == BINARY:
            whole[-1] = (BINARY, whole[-1][1] + payload)
        else:
            whole.append((opcode, payload))
    return whole


frames = st.one_of(
    st.tuples(st.just(BINARY), st.binary(max_size=70000)),
    st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
)


@given(
    st.lists(frames, max_size=6),
    st.lists(st.integers(0, 2**20), max_size=8),
    st.binary(min_size=4, max_size=4),
)
def test_frames_are_the_same_however_they_are_cut(
    sent: Found, cuts: list[int], mask: bytes
) -> None:
    data = b"".join(encode_frame(opcode, payload, mask) for opcode, payload in sent)
    expected = [one for one in sent if one[1] or one[0] != BINARY]
    assert merged(fed(FrameReader(), data, cuts)) == merged(expected)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.binary(max_size=125))
def test_a_message_in_pieces_is_a_stream_and_control_frames_may_come_between(
    pieces: list[bytes], ping: bytes
) -> None:
    data = b""
    for number, piece in enumerate(pieces):
        frame = bytearray(encode_frame(CONTINUATION if number else BINARY, piece, MASK))
        if number < len(pieces) - 1:
            frame[0] &= 0x7F
        data += bytes(frame) + encode_frame(PING, ping, MASK)
    found = FrameReader().feed(data)
    assert b"".join(payload for opcode, payload in found if opcode == BINARY) == b"".join(pieces)
    assert [payload for opcode, payload in found if opcode == PING] == [ping] * len(pieces)


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_nothing_made_up_does_more_than_end_its_own_reader(data: bytes, cuts: list[int]) -> None:
    with suppress(FrameFaultError):  # and no other error
        found = fed(FrameReader(), data, cuts)
        assert sum(len(payload) for _, payload in found) <= len(data)


def test_a_frame_of_2_to_the_62_bytes_passes_as_it_comes() -> None:
    reader = FrameReader()
    assert reader.feed(b"\x82\xff" + struct.pack(">Q", 2**62) + bytes(4)) == []
    for _ in range(3):
        assert reader.feed(b"x" * 65536) == [(BINARY, b"x" * 65536)]


@pytest.mark.parametrize(
    ("head", "code"),
    [
        pytest.param(b"\x82\x05", 1002, id="not masked"),
        pytest.param(b"\x81\x85", 1003, id="text"),
        pytest.param(b"\xc2\x85", 1002, id="reserved bit"),
        pytest.param(b"\x83\x85", 1002, id="unknown opcode"),
        pytest.param(b"\x80\x85", 1002, id="continuation of nothing"),
        pytest.param(b"\x09\x85", 1002, id="control frame in pieces"),
        pytest.param(b"\x89\xfe", 1002, id="control frame too long"),
        pytest.param(b"\x82\xfe\x00\x7d" + MASK, 1002, id="length not the shortest way"),
        pytest.param(b"\x82\xff" + struct.pack(">Q", 65535) + MASK, 1002, id="64 bits for 16"),
        pytest.param(b"\x82\xff" + b"\xff" * 8 + MASK, 1002, id="length with the highest bit"),
        pytest.param(b"\x02\x81" + MASK + b"a\x82\x81", 1002, id="start within a message"),
    ],
)
def test_what_breaks_the_protocol_is_refused(head: bytes, code: int) -> None:
    with pytest.raises(FrameFaultError) as fault:
        FrameReader().feed(head)
    assert fault.value.code == code


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4))
def test_unmasking_is_each_byte_with_its_own_of_the_mask(data: bytes, mask: bytes) -> None:
    assert masked(data, mask) == bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_a_client_reads_what_is_sent(length: int) -> None:
    parser = FrameParser()
    parser.feed(frame_head(length) + b"x" * length)
    frame = parser.next_frame()
    assert frame is not None
    assert (frame.opcode, frame.payload, frame.final) == (BINARY, b"x" * length, True)


def test_a_close_frame_has_as_much_of_its_reason_as_fits() -> None:
    parser = FrameParser()
    parser.feed(close_frame(1011, "ü" * 100))
    frame = parser.next_frame()
    assert frame is not None
    assert frame.opcode == CLOSE
    assert frame.payload == struct.pack(">H", 1011) + "ü".encode() * 61
