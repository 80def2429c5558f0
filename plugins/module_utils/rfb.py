# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""An RFB client (RFC 6143): handshake, screenshot, keyboard and pointer.

It reads the name and the screen of servers that ask for no login; of others it reads which kinds
of login they offer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.framebuffer import (
    Canvas,
    Framebuffer,
    SizeError,
    check_side_lengths,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb_messages import (
    DESKTOP_SIZE,
    RAW,
    framebuffer_update_request,
    key_event,
    keystrokes,
    pointer_event,
    set_encodings,
    set_pixel_format,
)
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream

MAX_TEXT = 65536
"""Longest name or reason that is believed, in bytes."""
_VERSIONS = (b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n")
NO_LOGIN = "none"
"""Name of the login that is none."""
_NONE = 1
_SECURITY_NAMES = {  # IANA registry "Remote Framebuffer Security Types"
    _NONE: NO_LOGIN,
    2: "vnc",
    5: "ra2",
    6: "ra2ne",
    16: "tight",
    17: "ultra",
    18: "tls",
    19: "vencrypt",
    20: "sasl",
    21: "md5",
    22: "xvp",
}


@dataclass
class ServerInfo:
    """What a server has said of itself so far.

    Attributes:
        version: Its version of RFB, such as ``"003.008"``; None before it was read.
        security_types: The logins it offers, as numbers.
        name: Its desktop's name; None if the server wants a login first.
        width: Width of its screen in pixels; None as with ``name``.
        height: Height of its screen in pixels; None as with ``name``.
    """

    version: str | None = None
    security_types: tuple[int, ...] = ()
    name: str | None = None
    width: int | None = None
    height: int | None = None

    @property
    def security_names(self) -> list[str]:
        """Names of the security types; a number, as text, where this client knows no name."""
        return [_SECURITY_NAMES.get(number, str(number)) for number in self.security_types]


class RfbClient:
    """One RFB connection.

    Attributes:
        info: What is known of the server, also after a handshake that failed half way.
    """

    def __init__(self, stream: ByteStream) -> None:
        """Speak over ``stream``, whose owner closes it."""
        self.info = ServerInfo()
        self._stream = stream

    def handshake(self) -> ServerInfo:
        """Shake hands, with security type None if the server has it (RFC 6143, section 7.1-7.3).

        Returns:
            What the server said. Its name and size are None if it wants a login; the connection
            is of no more use then.

        Raises:
            HopError: Hop ``rfb``: no RFB server, or broken RFB. Hop ``refused``: the server
                turns this client away, with its reason.
        """
        self.knock()
        if _NONE in self.info.security_types:
            self._stream.send(b"\x01")  # ClientInit (7.3.1): shared, to throw nobody out
            self._read_server_init()
        return self.info

    def knock(self) -> ServerInfo:
        """Shake hands as far as the login and no further: until ClientInit there is no session.

        Security type None is chosen all the same. TigerVNC counts who leaves before the login is
        over, and after four of them shuts out everybody who comes from that address.

        Returns:
            What the server said; its name and size are None.

        Raises:
            HopError: As with `handshake`.
        """
        self._agree_on_version()
        self.info.security_types = self._read_security_types()
        if _NONE in self.info.security_types:
            self._choose_no_login()
        return self.info

    def framebuffer(self) -> Framebuffer:
        """Return a picture of the whole screen as it is now.

        Raises:
            HopError: Hop ``rfb``: no handshake, a login is wanted, or the server breaks RFB.
        """
        if self.info.width is None or self.info.height is None:
            raise HopError("rfb", "no picture of the screen without a handshake free of login")
        self._stream.send(set_pixel_format() + set_encodings([RAW, DESKTOP_SIZE]))
        with _checked_sizes():
            canvas = Canvas(self.info.width, self.info.height)
            while not canvas.complete():
                self._stream.send(framebuffer_update_request(0, 0, canvas.width, canvas.height))
                canvas = self._read_update(canvas)
        return canvas.picture()

    def key(self, keysym: int, down: bool) -> None:
        """Press or release the key of an X11 keysym."""
        self._stream.send(key_event(keysym, down))

    def pointer(self, x: int, y: int, buttons: int = 0) -> None:
        """Move the pointer to a pixel, with the buttons of a bit mask down."""
        self._stream.send(pointer_event(x, y, buttons))

    def type_text(self, text: str) -> None:
        """Type on a US keyboard; a newline is the Return key.

        QEMU queues about 1000 key events, so type long texts in parts, with pauses.
        """
        self._stream.send(b"".join(keystrokes(text)))

    def _agree_on_version(self) -> None:
        """Read the server's version and answer with the same (RFC 6143, section 7.1.1)."""
        head = self._stream.read_exactly(4)
        if head == b"RFB ":  # else do not wait for 12 bytes: there may never be so many
            head += self._stream.read_exactly(8)
        if head not in _VERSIONS:
            sent = (head + self._stream.unread())[:40]
            raise HopError("rfb", f"not an RFB server of version 3.3, 3.7 or 3.8: it sent {sent!r}")
        self.info.version = head[4:11].decode("ascii")
        self._stream.send(head)

    def _read_security_types(self) -> tuple[int, ...]:
        """Return the security types (RFC 6143, section 7.1.2; before 3.7: appendix A)."""
        if self.info.version == "003.003":
            types = [number] if (number := self._read_number(4)) else []
        else:
            types = list(self._stream.read_exactly(self._read_number(1)))
        if not types:
            raise HopError("refused", f"the VNC server refuses: {self._read_text('reason')!r}")
        return tuple(types)

    def _choose_no_login(self) -> None:
        """Choose security type None; only 3.8 answers that (RFC 6143, 7.1.3 and appendix A)."""
        if self.info.version != "003.003":
            self._stream.send(bytes([_NONE]))
        if self.info.version == "003.008" and self._read_number(4) != 0:
            reason = self._read_text("reason")
            raise HopError("refused", f"the VNC server refuses, though without a login: {reason!r}")

    def _read_server_init(self) -> None:
        """Read size and name; the pixel format is skipped (RFC 6143, section 7.3.2)."""
        width, height = struct.unpack(">HH16x", self._stream.read_exactly(20))
        with _checked_sizes():
            check_side_lengths(width, height)
        self.info.name = self._read_text("desktop name")
        self.info.width, self.info.height = width, height

    def _read_update(self, canvas: Canvas) -> Canvas:
        """Read messages up to the end of a framebuffer update (RFC 6143, section 7.6).

        Returns:
            ``canvas``, painted, or a blank one where the screen changed its size.
        """
        while (kind := self._read_number(1)) != 0:
            self._skip_message(kind)
        _padding, rectangles = struct.unpack(">BH", self._stream.read_exactly(3))
        for _ in range(rectangles):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self._stream.read_exactly(12))
            if encoding == DESKTOP_SIZE:
                canvas = Canvas(width, height)
                self.info.width, self.info.height = width, height
            elif encoding == RAW:
                canvas.check_rectangle(x, y, width, height)
                canvas.paint(x, y, width, height, self._stream.read_exactly(4 * width * height))
            else:
                raise HopError("rfb", f"the VNC server sent encoding {encoding}, not asked for")
        return canvas

    def _skip_message(self, kind: int) -> None:
        """Read past a message that changes no pixel (RFC 6143, sections 7.6.2 to 7.6.4)."""
        if kind == 1:  # SetColourMapEntries
            _first, count = struct.unpack(">xHH", self._stream.read_exactly(5))
            self._stream.read_exactly(6 * count)
        elif kind == 3:  # ServerCutText
            (length,) = struct.unpack(">3xI", self._stream.read_exactly(7))
            self._skip(length)
        elif kind != 2:  # Bell has no body
            raise HopError("rfb", f"the VNC server sent a message of unknown type {kind}")

    def _skip(self, length: int) -> None:
        """Read past ``length`` bytes without holding them all."""
        while length > 0:
            length -= len(self._stream.read_exactly(min(length, 65536)))

    def _read_number(self, size: int) -> int:
        return int.from_bytes(self._stream.read_exactly(size), "big")

    def _read_text(self, what: str) -> str:
        """Return a text with its length before it; broken UTF-8 is replaced."""
        length = self._read_number(4)
        if length > MAX_TEXT:
            raise HopError(
                "rfb", f"the VNC server announces a {what} of {length} bytes; {MAX_TEXT} are taken"
            )
        return self._stream.read_exactly(length).decode("utf-8", "replace")


@contextmanager
def _checked_sizes() -> Iterator[None]:
    """Turn a SizeError into the HopError that it is on the wire."""
    try:
        yield
    except SizeError as error:
        raise HopError("rfb", f"the VNC server sent {error}") from error
