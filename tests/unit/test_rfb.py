# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The RFB client, against RFC 6143 and scripted servers."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from itertools import pairwise

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.framebuffer import (
    Canvas,
    Framebuffer,
    SizeError,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.png import encode_png
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient, ServerInfo
from ansible_collections.novnc.fleet.plugins.module_utils.rfb_messages import (
    framebuffer_update_request,
    key_event,
    keystrokes,
    keysym,
    pointer_event,
    set_encodings,
    set_pixel_format,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.unit.fakes import (
    NAME,
    VERSION,
    ScriptedStream,
    greeting,
    rectangle,
    server_init,
    text,
    untimed,
    update,
)

V33, V37 = b"RFB 003.003\n", b"RFB 003.007\n"
RED, BLUE = b"\xff\x00\x00", b"\x00\x00\xff"
REQUEST = framebuffer_update_request(0, 0, 4, 3)


def shaken(*pieces: bytes) -> tuple[RfbClient, ScriptedStream]:
    """Return a client after its handshake with a screen of 4x3, and its stream."""
    stream = ScriptedStream(greeting(), *pieces)
    client = RfbClient(stream)
    client.handshake()
    stream.sent = b""
    return client, stream


@pytest.mark.parametrize(
    ("script", "answer", "version"),
    [
        (V33 + b"\x00\x00\x00\x01" + server_init(), V33 + b"\x01", "003.003"),
        (V37 + b"\x02\x02\x01" + server_init(), V37 + b"\x01\x01", "003.007"),
        (greeting(), VERSION + b"\x01\x01", "003.008"),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_handshake_of_each_version(script: bytes, answer: bytes, version: str, piece: int) -> None:
    stream = ScriptedStream(*(script[i : i + piece] for i in range(0, len(script), piece)))
    info = RfbClient(stream).handshake()
    assert (info.version, info.name, info.width, info.height) == (version, NAME.decode(), 4, 3)
    assert stream.sent == answer


@pytest.mark.parametrize(
    ("script", "answer", "names"),
    [
        (V33 + b"\x00\x00\x00\x02", V33, ["vnc"]),
        (V37 + b"\x01\x13", V37, ["vencrypt"]),
        (VERSION + b"\x04\x02\x13\x14\x4d", VERSION, ["vnc", "vencrypt", "sasl", "77"]),
    ],
)
def test_login_leaves_the_name_unknown(script: bytes, answer: bytes, names: list[str]) -> None:
    stream = ScriptedStream(script)
    info = RfbClient(stream).handshake()
    assert info.security_names == names
    assert (info.name, info.width, info.height) == (None, None, None)
    assert stream.sent == answer


@pytest.mark.parametrize(
    ("script", "hop", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "rfb", r"not an RFB.*b'SSH-2\.0-OpenSSH_9\.2\\r\\n'"),
        (b"hi\r\n", "rfb", r"not an RFB.*b'hi\\r\\n'"),
        (b"RFB 003.889\n", "rfb", r"not an RFB.*b'RFB 003\.889\\n'"),
        (V33 + bytes(4) + text(b"Too many"), "refused", "'Too many'"),
        (VERSION + b"\x00" + text(b"Server is \xff busy"), "refused", "'Server is \ufffd busy'"),
        (VERSION + b"\x01\x01\x00\x00\x00\x01" + text(b"Go away"), "refused", "login: 'Go away'"),
        (VERSION + b"\x00" + struct.pack(">I", 65537), "rfb", "reason of 65537 bytes"),
        (greeting()[: -len(NAME) - 4] + b"\xff" * 4, "rfb", "desktop name of 4294967295 bytes"),
        (greeting(16385, 1), "rfb", "16385x1 pixels; at most 16384"),
        (greeting(1, 65535), "rfb", "1x65535"),
        (greeting()[:-1], "rfb", "script is over"),
    ],
)
def test_handshakes_that_fail(script: bytes, hop: str, words: str) -> None:
    with pytest.raises(HopError, match=words) as caught:
        RfbClient(ScriptedStream(script)).handshake()
    assert caught.value.hop == hop


def test_what_was_learned_before_a_failure_stays() -> None:
    client = RfbClient(ScriptedStream(VERSION + b"\x02\x01\x02\x00\x00\x00\x01" + text(b"no")))
    with pytest.raises(HopError, match="'no'"):
        client.handshake()
    assert client.info == ServerInfo("003.008", (1, 2))


def test_names_are_utf8_with_replacement() -> None:
    stream = ScriptedStream(greeting(name=b"QEMU (b\xc3\xbcro \xff)"))
    assert RfbClient(stream).handshake().name == "QEMU (b\u00fcro \ufffd)"


@untimed
@given(st.binary(max_size=80), st.booleans())
def test_garbage_raises_nothing_but_hop_errors(data: bytes, greeted: bool) -> None:
    client = RfbClient(ScriptedStream(greeting() + data if greeted else data))
    with suppress(HopError):
        client.handshake()
        client.framebuffer()


tilings = st.permutations(
    [(0, 0, 4, 1), (0, 1, 2, 2), (2, 1, 1, 1), (3, 1, 1, 1), (2, 2, 2, 1), (1, 0, 2, 3)]
)
images = st.binary(min_size=36, max_size=36)


@untimed
@given(images, tilings, st.lists(st.integers(0, 6), max_size=3))
def test_screens_are_assembled_from_rectangles(
    rgb: bytes, tiles: list[tuple[int, int, int, int]], ends: list[int]
) -> None:
    def tile(x: int, y: int, width: int, height: int) -> bytes:
        rows = [rgb[3 * (4 * row + x) :][: 3 * width] for row in range(y, y + height)]
        return rectangle(x, y, width, height, b"".join(rows))

    # However the rectangles are spread over updates, with the other messages between them.
    edges = [0, *sorted(ends), len(tiles)]
    noise = b"\x02" + b"\x03\0\0\0" + text(b"cut") + b"\x01\0\0\x05\0\x02" + b"\xff" * 12
    updates = [noise + update(*(tile(*t) for t in tiles[a:b])) for a, b in pairwise(edges)]
    client, stream = shaken(*updates)
    picture = client.framebuffer()
    assert picture == Framebuffer(4, 3, rgb)
    assert stream.sent.startswith(set_pixel_format() + set_encodings([0, -223]) + REQUEST)
    image = Image.open(io.BytesIO(picture.png()))
    assert (image.mode, image.size, image.tobytes()) == ("RGB", (4, 3), rgb)


def test_an_unfinished_screen_is_asked_for_again() -> None:
    top, rest = rectangle(0, 0, 4, 1, RED * 4), rectangle(0, 1, 4, 2, BLUE * 8)
    client, stream = shaken(update(top), update(), update(rest))
    picture = client.framebuffer()
    assert picture.pixel(3, 0) == (255, 0, 0)
    assert picture.pixel(0, 1) == (0, 0, 255)
    assert stream.sent.endswith(REQUEST * 3)
    assert stream.sent.count(REQUEST) == 3


def test_a_screen_may_change_its_size() -> None:
    resize = struct.pack(">HHHHi", 0, 0, 2, 1, -223)
    old = rectangle(0, 0, 4, 3, RED * 12)
    client, stream = shaken(update(old[:0] + resize), update(rectangle(0, 0, 2, 1, BLUE * 2)))
    assert client.framebuffer() == Framebuffer(2, 1, BLUE * 2)
    assert (client.info.width, client.info.height) == (2, 1)
    assert stream.sent.endswith(REQUEST + framebuffer_update_request(0, 0, 2, 1))


def test_pictures_can_be_taken_again() -> None:
    first, second = (update(rectangle(0, 0, 4, 3, colour * 12)) for colour in (RED, BLUE))
    client, _stream = shaken(first, second)
    assert client.framebuffer().pixel(0, 0) == (255, 0, 0)
    assert client.framebuffer().pixel(0, 0) == (0, 0, 255)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (update(rectangle(3, 0, 2, 1, b"")), r"2x1 at \(3, 0\) outside the screen of 4x3"),
        (update(rectangle(0, 2, 1, 2, b"")), "outside the screen"),
        (update(struct.pack(">HHHHi", 0, 0, 1, 1, 7)), "encoding 7, not asked for"),
        (update(struct.pack(">HHHHi", 0, 0, 0, 9, -223)), "0x9 pixels cannot be pictured"),
        (update(struct.pack(">HHHHi", 0, 0, 16384, 16384, -223)), "16384x16384 pixels cannot"),
        (b"\x99", "unknown type 153"),
    ],
)
def test_broken_updates(message: bytes, words: str) -> None:
    client, _stream = shaken(message)
    with pytest.raises(HopError, match=words):
        client.framebuffer()


def test_no_picture_without_a_name() -> None:
    client = RfbClient(ScriptedStream(VERSION + b"\x01\x02"))
    client.handshake()
    with pytest.raises(HopError, match="without a handshake free of login"):
        client.framebuffer()


def test_pixels_lie_within_the_screen() -> None:
    picture = Framebuffer(2, 2, bytes(range(12)))
    assert picture.pixel(1, 1) == (9, 10, 11)
    for x, y in [(2, 0), (0, 2), (-1, 0)]:
        with pytest.raises(IndexError, match="screen of 2x2"):
            picture.pixel(x, y)


def test_an_empty_canvas_is_refused() -> None:
    with pytest.raises(SizeError, match="0x0"):
        Canvas(0, 0)


@pytest.mark.parametrize(("width", "height", "rgb"), [(2, 1, bytes(5)), (0, 0, b"")])
def test_png_takes_only_whole_images(width: int, height: int, rgb: bytes) -> None:
    with pytest.raises(ValueError, match=f"no {width}x{height} RGB image"):
        encode_png(width, height, rgb)


def test_messages_are_those_of_the_rfc() -> None:
    assert set_pixel_format() == bytes.fromhex("00000000 20180001 00ff00ff00ff 000810 000000")
    assert set_encodings([0, -223]) == bytes.fromhex("02000002 00000000 ffffff21")
    assert framebuffer_update_request(1, 2, 3, 4) == bytes.fromhex("03000001000200030004")
    assert framebuffer_update_request(0, 0, 1, 1, incremental=True)[1] == 1
    assert key_event(0xFF0D, True) == bytes.fromhex("040100000000ff0d")
    assert pointer_event(640, 480, 1) == bytes.fromhex("0501028001e0")


@pytest.mark.parametrize(
    ("character", "symbol"),
    [("a", 0x61), ("\xfc", 0xFC), ("\u20ac", 0x010020AC), ("\n", 0xFF0D), ("\t", 0xFF09)],
)
def test_keysyms(character: str, symbol: int) -> None:
    assert keysym(character) == symbol


def test_typing_presses_shift_where_a_us_keyboard_needs_it() -> None:
    client, stream = shaken()
    client.type_text("a!\n")
    client.key(0xFF1B, True)
    client.pointer(1, 2)
    events = [(0x61, 1), (0x61, 0), (0xFFE1, 1), (0x21, 1), (0x21, 0), (0xFFE1, 0)]
    events += [(0xFF0D, 1), (0xFF0D, 0), (0xFF1B, 1)]
    typed = b"".join(struct.pack(">BBxxI", 4, down, symbol) for symbol, down in events)
    assert stream.sent == typed + pointer_event(1, 2)


@pytest.mark.parametrize("characters", ['~!@#$%^&*()_+{}|:"<>?', "ABCXYZ"])
def test_shifted_characters(characters: str) -> None:
    assert all(len(list(keystrokes(character))) == 4 for character in characters)
    assert all(len(list(keystrokes(character))) == 2 for character in "`1-=[]\\;',./abcxyz 09")
