# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What an RFB client sends after the handshake (RFC 6143, section 7.5), as an allow-list; pure.

Numbers beyond the RFC are those of the community's specification (rfbproto) and of QEMU.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from novnc_endpoint.refusal import Buffer, Refused

_SET_ENCODINGS, _KEY, _POINTER, _GII, _QEMU = 2, 4, 5, 253, 255
_QEMU_EXTENDED_KEY, _QEMU_AUDIO = 0, 1

WATCHING = frozenset((0, _SET_ENCODINGS, 3, 150, 248))
"""Types of the messages that somebody may send who only watches: SetPixelFormat, SetEncodings,
FramebufferUpdateRequest, EnableContinuousUpdates and ClientFence."""


def _number(data: Buffer) -> int:
    return int.from_bytes(data, "big")


def _cut_text_length(head: bytes) -> int:
    """A negative length marks the extended clipboard."""
    return 8 + abs(int.from_bytes(head[4:], "big", signed=True))


def _gii_length(head: bytes) -> int:
    """Its messages come in the client's own byte order, which a bit tells."""
    return 4 + int.from_bytes(head[2:], "big" if head[1] & 0x80 else "little")


def _qemu_length(head: bytes) -> int:
    subtype, operation = head[1], _number(head[2:])
    if subtype == _QEMU_EXTENDED_KEY:
        return 12
    if subtype == _QEMU_AUDIO and operation in (0, 1, 2):  # enable, disable, set the format
        return 10 if operation == 2 else 4
    raise Refused(f"the viewer sent QEMU's message of unknown type {subtype}, {operation}")


_LENGTHS: dict[int, tuple[int, Callable[[bytes], int]]] = {
    0: (1, lambda _: 20),
    _SET_ENCODINGS: (4, lambda head: 4 + 4 * _number(head[2:])),
    3: (1, lambda _: 10),
    _KEY: (1, lambda _: 8),
    _POINTER: (2, lambda head: 7 if head[1] & 0x80 else 6),  # with extended buttons
    6: (8, _cut_text_length),
    150: (1, lambda _: 10),
    248: (9, lambda head: 9 + head[8]),
    250: (1, lambda _: 4),  # xvp: shut down, reboot, reset
    251: (8, lambda head: 8 + 16 * head[6]),  # SetDesktopSize
    _GII: (4, _gii_length),
    _QEMU: (4, _qemu_length),
}
"""Of each message: how many bytes tell its length, and how."""

_DESKTOP_SIZE, _EXTENDED_DESKTOP_SIZE = -223, -308
_EXTENDED_BUTTONS = -316
_INVITING = frozenset(
    {
        -257,  # QEMU's relative pointer
        -258,  # QEMU's extended key event
        -259,  # QEMU's audio
        -305,  # General Input Interface
        -309,  # xvp: shut down, reboot, reset
        _EXTENDED_BUTTONS,
        0xC0A1E5CE - 2**32,  # extended clipboard
    }
)
"""Pseudo-encodings that invite the client to send what somebody who watches must not."""


class ClientMessages:
    """The messages of one client, which may come in any pieces.

    It keeps one message that may pass at most, which is 256 KB; all others are counted down.

    Attributes:
        inputs: Number of keys and pointer events so far.
    """

    def __init__(self, *, watch: bool) -> None:
        """Read a client whose server gets all of it or, with ``watch``, what is `allowed`."""
        self.inputs = 0
        self._watch = watch
        self._extended_buttons = False
        self._held = bytearray()
        self._to_skip = 0

    def allowed(self, data: Buffer) -> bytes:
        """Take what comes next; return the messages, complete, that somebody may send who watches.

        Raises:
            Refused: A message of a kind whose length nobody knows; of what follows nothing can be
                read any more.
        """
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        held = self._held
        held += memoryview(data)[skipped:]
        passed = bytearray()
        at = 0
        try:
            while at < len(held):
                kind = held[at]
                length = self._length(kind, held, at)
                if length is None:
                    break
                end = at + length
                if kind in WATCHING:
                    if end > len(held):
                        break
                    passed += self._seen(kind, held[at:end])
                else:
                    self.inputs += self._is_input(kind, held[at + 1 : at + 2])
                    self._to_skip = max(0, end - len(held))
                at = end
        finally:
            del held[:at]
        return bytes(passed)

    @property
    def unread(self) -> int:
        """Number of bytes kept: of a message that is not complete, or that was refused."""
        return len(self._held)

    def _length(self, kind: int, held: bytearray, at: int) -> int | None:
        """Return a message's length in bytes; None as long as too little of it is there."""
        if kind not in _LENGTHS:
            raise Refused(f"the viewer sent a message of unknown type {kind}")
        if kind == _POINTER and not self._extended_buttons:
            return 6
        needed, length = _LENGTHS[kind]
        if len(held) - at < needed:
            return None
        return length(bytes(held[at : at + needed]))

    def _is_input(self, kind: int, subtype: bytearray) -> bool:
        extended_key = kind == _QEMU and subtype[0] == _QEMU_EXTENDED_KEY
        return kind in (_KEY, _POINTER, _GII) or extended_key

    def _seen(self, kind: int, message: bytearray) -> bytes | bytearray:
        """Return a message that may pass, as it may pass."""
        if kind != _SET_ENCODINGS:
            return message
        encodings = struct.unpack(f">{len(message) // 4 - 1}i", message[4:])
        # Its server may confirm it, and pointer events are a byte longer then, marked by a bit.
        self._extended_buttons = _EXTENDED_BUTTONS in encodings and not self._watch
        return without_input(encodings)


def without_input(encodings: tuple[int, ...]) -> bytes:
    """Return SetEncodings without what would invite a client to send input.

    The client then does not start with it (noVNC would wait for the new size that it asked for),
    and QEMU does not offer it the guest's clipboard. How large the screen is, it still learns.
    """
    kept = [
        _DESKTOP_SIZE if number == _EXTENDED_DESKTOP_SIZE else number
        for number in encodings
        if number not in _INVITING
    ]
    return struct.pack(f">BxH{len(kept)}i", _SET_ENCODINGS, len(kept), *kept)
