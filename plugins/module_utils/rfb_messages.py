# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What an RFB client sends (RFC 6143, section 7.5), and the keys of a text; pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

RAW = 0
DESKTOP_SIZE = -223
SHIFT = 0xFFE1
_CONTROL_KEYSYMS = {"\b": 0xFF08, "\t": 0xFF09, "\n": 0xFF0D, "\r": 0xFF0D, "\x1b": 0xFF1B}
_SHIFTED = frozenset('ABCDEFGHIJKLMNOPQRSTUVWXYZ~!@#$%^&*()_+{}|:"<>?')


def set_pixel_format() -> bytes:
    """Ask for pixels as the four bytes red, green, blue, unused (section 7.5.1)."""
    bits, depth, big_endian, true_colour = 32, 24, 0, 1
    shifts = (0, 8, 16)
    pixel_format = struct.pack(
        ">BBBBHHHBBBxxx", bits, depth, big_endian, true_colour, 255, 255, 255, *shifts
    )
    return b"\x00\x00\x00\x00" + pixel_format


def set_encodings(encodings: Iterable[int]) -> bytes:
    """Name the encodings the client reads, the best first (section 7.5.2)."""
    numbers = tuple(encodings)
    return struct.pack(f">BxH{len(numbers)}i", 2, len(numbers), *numbers)


def framebuffer_update_request(
    x: int, y: int, width: int, height: int, *, incremental: bool = False
) -> bytes:
    """Ask for an area, in pixels; ``incremental`` for its changes only (section 7.5.3)."""
    return struct.pack(">BBHHHH", 3, incremental, x, y, width, height)


def key_event(keysym: int, down: bool) -> bytes:
    """Press (``down``) or release the key of an X11 keysym (section 7.5.4)."""
    return struct.pack(">BBxxI", 4, down, keysym)


def pointer_event(x: int, y: int, buttons: int = 0) -> bytes:
    """Move the pointer to a pixel; bit 0 of ``buttons`` is the left button (section 7.5.5)."""
    return struct.pack(">BBHH", 5, buttons, x, y)


def keysym(character: str) -> int:
    """Return the X11 keysym of a character (X11 protocol, appendix A).

    Latin-1 characters are their own keysym, all others their code point plus 0x01000000.
    """
    if character in _CONTROL_KEYSYMS:
        return _CONTROL_KEYSYMS[character]
    code = ord(character)
    return code if code < 0x100 else 0x01000000 + code


def keystrokes(text: str) -> Iterator[bytes]:
    """Yield the key events that type ``text`` on a US keyboard.

    Shift is pressed where that keyboard needs it: QEMU looks up only which key a keysym is on,
    and would type "a" for "A" alone.
    """
    for character in text:
        shift = character in _SHIFTED
        if shift:
            yield key_event(SHIFT, True)
        yield key_event(keysym(character), True)
        yield key_event(keysym(character), False)
        if shift:
            yield key_event(SHIFT, False)
