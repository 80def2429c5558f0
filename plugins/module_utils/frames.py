# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""WebSocket frames (RFC 6455, section 5): what both sides share, and a client's side; pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

CONTINUATION, BINARY, CLOSE, PING, PONG = 0x0, 0x2, 0x8, 0x9, 0xA
MAX_PAYLOAD = 16 * 1024 * 1024
"""Longest payload of one frame, in bytes; websockify's frames hold at most 64 KiB."""


class FrameError(ValueError):
    """Bytes which no WebSocket server may send."""


@dataclass(frozen=True)
class Frame:
    """One frame: its opcode, its payload, and whether it ends its message."""

    opcode: int
    payload: bytes
    final: bool = True


class FrameParser:
    """Makes frames from the bytes a server sends, however they are cut (RFC 6455, section 5)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._in_message = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """Return the next frame; None while it is not whole.

        Raises:
            FrameError: The bytes break the protocol, or the payload exceeds `MAX_PAYLOAD`.
        """
        if len(self._buffer) < 2:
            return None
        first, second = self._buffer[:2]
        final, opcode, short_length = bool(first & 0x80), first & 0x0F, second & 0x7F
        self._check(first, second)
        start = 2 + {126: 2, 127: 8}.get(short_length, 0)
        if len(self._buffer) < start:
            return None
        length = int.from_bytes(self._buffer[2:start], "big") if start > 2 else short_length
        if length > MAX_PAYLOAD:
            raise FrameError(f"frame of {length} bytes; at most {MAX_PAYLOAD} are taken")
        if len(self._buffer) < start + length:
            return None
        payload = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        if opcode < CLOSE:
            self._in_message = not final
        return Frame(opcode, payload, final)

    def _check(self, first: int, second: int) -> None:
        """Check the first two bytes of a frame. Raises FrameError, quoting the buffer."""
        opcode = first & 0x0F
        broken = None
        if first & 0x70:
            broken = "reserved bits are set"
        elif opcode not in (CONTINUATION, BINARY, CLOSE, PING, PONG):
            broken = f"opcode {opcode:#x} where binary data belongs"
        elif second & 0x80:
            broken = "a server must not mask"
        elif opcode >= CLOSE and (second > 125 or not first & 0x80):
            broken = "a control frame is cut in pieces or longer than 125 bytes"
        elif opcode < CLOSE and (opcode == CONTINUATION) != self._in_message:
            broken = "a continuation without a start, or a start within a message"
        if broken:
            raise FrameError(f"not a WebSocket frame ({broken}): {bytes(self._buffer[:20])!r}")


def encode_frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """Return a whole, masked frame as clients send it (RFC 6455, sections 5.2 and 5.3).

    Args:
        opcode: Such as `BINARY`.
        payload: The unmasked payload.
        mask: The masking key, 4 bytes, unpredictable.
    """
    return frame_head(len(payload), opcode, masked=True) + mask + masked(payload, mask)


def frame_head(length: int, opcode: int = BINARY, *, masked: bool = False) -> bytes:
    """Return what comes before the mask, if there is one, and ``length`` bytes of payload."""
    bit = 0x80 if masked else 0
    if length < 126:
        return struct.pack(">BB", 0x80 | opcode, bit | length)
    if length < 65536:
        return struct.pack(">BBH", 0x80 | opcode, bit | 126, length)
    return struct.pack(">BBQ", 0x80 | opcode, bit | 127, length)


def masked(data: bytes | memoryview, mask: bytes) -> bytes:
    """Return bytes masked, or masked ones in clear; the 4 of ``mask`` begin at the first."""
    length = len(data)
    key = (mask * (length // 4 + 1))[:length]
    turned = int.from_bytes(data, "little") ^ int.from_bytes(key, "little")
    return turned.to_bytes(length, "little")
