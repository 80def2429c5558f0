# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""WebSocket frames (RFC 6455, section 5) as a server receives and sends them; pure.

Payloads are passed on piece by piece as they come, so that the length of a frame, up to 2^63,
costs no memory.
"""

from __future__ import annotations

import struct

from ansible_collections.novnc.fleet.plugins.module_utils.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    frame_head,
    masked,
)

_KNOWN = (CONTINUATION, BINARY, CLOSE, PING, PONG)
_MAX_REASON = 123
"""Bytes that a close frame has for its reason (RFC 6455, section 5.5)."""


class FrameFaultError(Exception):
    """Bytes which no client may send.

    Attributes:
        code: For the close frame (RFC 6455, section 7.4.1).
        reason: A sentence.
    """

    def __init__(self, reason: str, code: int = 1002) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


def close_frame(code: int, reason: str) -> bytes:
    """Return a close frame; a reason that does not fit is cut."""
    text = reason.encode(errors="replace")[:_MAX_REASON].decode(errors="ignore").encode()
    return frame_head(2 + len(text), CLOSE) + struct.pack(">H", code) + text


class FrameReader:
    """Makes data and control messages of the bytes a client sends, however they are cut."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._control = bytearray()
        self._opcode = BINARY
        self._mask = b""
        self._left = 0
        self._in_message = False

    def feed(self, data: bytes | memoryview) -> list[tuple[int, bytes]]:
        """Return what the next bytes bring, as pairs of opcode and payload.

        Data come as `BINARY` in pieces of any size, `CLOSE`, `PING` and `PONG` whole.

        Raises:
            FrameFaultError: The bytes break the protocol; nothing can be fed after that.
        """
        found: list[tuple[int, bytes]] = []
        view = memoryview(data)
        while view:
            if not self._left:
                taken = self._take_head(view)
                view = view[taken:]
                if self._head:
                    break  # the rest of it is still to come
            piece = view[: self._left]
            view = view[len(piece) :]
            self._take_payload(piece, found)
        return found

    def _take_head(self, view: memoryview) -> int:
        """Take what is missing of a frame's head; it is empty again once it is understood."""
        before = len(self._head)
        self._head += view[: 2 - before] if before < 2 else b""
        if len(self._head) < 2:
            return len(self._head) - before
        self._check(self._head[0], self._head[1])
        short = self._head[1] & 0x7F
        size = 2 + {126: 2, 127: 8}.get(short, 0) + 4
        taken = len(self._head) - before
        self._head += view[taken : taken + size - len(self._head)]
        taken = len(self._head) - before
        if len(self._head) == size:
            length = int.from_bytes(self._head[2:-4], "big") if size > 6 else short
            if length < {126: 126, 127: 65536}.get(short, 0) or length >> 63:
                raise FrameFaultError(f"a frame's length of {length} is written in a wrong way")
            self._opcode = self._head[0] & 0x0F
            if self._opcode < CLOSE:
                self._in_message = not self._head[0] & 0x80
            self._mask, self._left = bytes(self._head[-4:]), length
            self._head.clear()
        return taken

    def _check(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if opcode == 0x1:
            raise FrameFaultError("text where binary data belong", 1003)
        broken = None
        if first & 0x70 or opcode not in _KNOWN:
            broken = f"a frame begins with {first:#x}"
        elif not second & 0x80:
            broken = "a client must mask its frames"
        elif opcode >= CLOSE and (second & 0x7F > 125 or not first & 0x80):
            broken = "a control frame is cut in pieces or longer than 125 bytes"
        elif opcode < CLOSE and (opcode == CONTINUATION) != self._in_message:
            broken = "a continuation without a start, or a start within a message"
        if broken:
            raise FrameFaultError(broken)

    def _take_payload(self, piece: memoryview, found: list[tuple[int, bytes]]) -> None:
        clear = masked(piece, self._mask)
        self._left -= len(piece)
        turn = len(piece) % 4
        self._mask = self._mask[turn:] + self._mask[:turn]
        if self._opcode < CLOSE:
            if clear:
                found.append((BINARY, clear))
            return
        self._control += clear
        if not self._left:
            found.append((self._opcode, bytes(self._control)))
            self._control.clear()
