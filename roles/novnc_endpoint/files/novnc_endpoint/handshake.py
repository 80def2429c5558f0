# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The handshake of RFB (RFC 6143, sections 7.1 to 7.3), read on its way in both directions; pure.

What passes is what this has understood: a client and a server that might understand the same
bytes in two ways would let something slip through.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Generator

from novnc_endpoint.refusal import (
    NO_SECURITY,
    NO_SECURITY_33,
    VERSION,
    Buffer,
    Refusal,
    Refused,
    text,
)

SERVER, CLIENT = "server", "client"
PERSON = "person"
"""Who is at the client, and types."""
PLAIN, OPAQUE, OVER = "plain", "opaque", "over"
"""How a handshake ends: messages follow; bytes that nobody can read follow; nothing does."""

_NONE, _VNC = 1, 2
_READABLE = (_NONE, _VNC)
"""Security types after which everything passes in clear (7.2)."""
_OK, _FAILED = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"
_SHARED = b"\x01"
_CHALLENGE_BYTES = 16
_MINORS = (3, 7, 8)
"""The versions that there are: 3.3, 3.7 and 3.8."""
_MAX_TEXT = 65536
"""Longest name or reason that is believed, in bytes."""
_MAX_EARLY = 2 * _MAX_TEXT
"""Bytes of one side that are kept until it is their turn."""

_Awaited = tuple[str, int]
_RESPONSE = (CLIENT, _CHALLENGE_BYTES)
"""What noVNC can only send once somebody has typed the password; nothing else is as long."""


class Handshake:
    """One handshake, which may come in any pieces.

    Attributes:
        outcome: `PLAIN`, `OPAQUE` or `OVER`; empty until it has ended.
    """

    def __init__(self, *, watch: bool, expect_name: str | None) -> None:
        """See `Gate`, whose mode ``watch`` is told as a truth value here."""
        self.outcome = ""
        self._watch = watch
        self._expect_name = expect_name
        self._in = {SERVER: bytearray(), CLIENT: bytearray()}
        self._out = {SERVER: bytearray(), CLIENT: bytearray()}
        self._greeted = self._answered = False
        self._refuse_with: bytes | None = None
        self._steps = self._run()
        self._awaited: _Awaited = next(self._steps)

    def take(self, sender: str, data: Buffer) -> None:
        """Take what `SERVER` or `CLIENT` sends next, and go as far as it allows.

        Raises:
            Refused: This must not go on.
        """
        self._in[sender] += data
        while not self.outcome and len(self._in[self._awaited[0]]) >= self._awaited[1]:
            side, count = self._awaited
            taken = bytes(self._in[side][:count])
            del self._in[side][:count]
            try:
                self._awaited = self._steps.send(taken)
            except StopIteration as end:
                self.outcome = end.value
        if not self.outcome and len(self._in[sender]) > _MAX_EARLY:
            raise Refused(f"the {sender} sent more than {_MAX_EARLY} bytes that nobody asked for")

    def passed(self, receiver: str) -> bytes:
        """Return what may go on to `SERVER` or `CLIENT` now; once."""
        return _drain(self._out[receiver])

    def left(self, sender: str) -> bytes:
        """Return what a side sent beyond the handshake; once."""
        return _drain(self._in[sender])

    @property
    def awaits(self) -> str:
        """Who has to go on: `SERVER`, `CLIENT`, or the `PERSON` who knows the password."""
        return PERSON if self._awaited == _RESPONSE else self._awaited[0]

    @property
    def empty(self) -> bool:
        """Nothing waits to be `passed`, and nothing is `left`."""
        return not any((*self._in.values(), *self._out.values()))

    def refuse(self, reason: str) -> Refusal:
        """Return what tells the client a reason, as far as there is a way at this point.

        There is none while it chooses and gives its password, and once it knows that it is logged
        in; nor, after the security types, with versions before 3.8.
        """
        opening = self.passed(CLIENT)
        if not self._answered:
            refusal = Refusal(reason, opening if self._greeted else VERSION)
            refusal.opening += refusal.from_client(self.left(CLIENT))
            return refusal
        words = b"" if self._refuse_with is None else self._refuse_with + text(reason)
        return Refusal(reason, opening + words, done=True)

    def _run(self) -> Generator[_Awaited, bytes, str]:
        """Follow one handshake: yields whose bytes it needs and how many, returns the outcome."""
        minor = yield from self._agree_on_version()
        security = yield from self._choose_security(minor)
        if security is None:
            return OVER
        if security not in _READABLE:
            return OPAQUE
        if security == _VNC:
            challenge = yield SERVER, _CHALLENGE_BYTES
            self._out[CLIENT] += challenge
            response = yield _RESPONSE
            self._out[SERVER] += response
        result = b""
        if security == _VNC or minor == 8:  # before 3.8, who needs no login gets no result
            self._refuse_with = _FAILED if minor == 8 else None
            result = yield SERVER, len(_OK)
        if result not in (b"", _OK):
            yield from self._fail(result, reason_follows=minor == 8)
            return OVER
        yield from self._initialise(result)
        return PLAIN

    def _agree_on_version(self) -> Generator[_Awaited, bytes, int]:
        """Pass both versions (7.1.1), and return the minor one in force: 3, 7 or 8.

        Servers also say 003.006 (UltraVNC), 003.889 (Apple), 004.001 or 005.000 (RealVNC); the
        client hears what noVNC takes these for, so it never answers with more than it heard.
        """
        said = yield SERVER, 4
        if said == b"RFB ":  # else do not wait for 12 bytes: there may never be so many
            said += yield SERVER, 8
        match = re.fullmatch(rb"RFB (\d{3})\.(\d{3})\n", said)
        version = (int(match[1]), int(match[2])) if match else (0, 0)
        if version < (3, 3):
            raise Refused(f"no VNC server of version 3.3 or later is there: it sent {said!r}")
        highest = max(minor for minor in _MINORS if (3, minor) <= version)
        self._out[CLIENT] += _version(highest)
        self._greeted = True
        answer = yield CLIENT, len(VERSION)
        self._answered = True
        self._refuse_with = NO_SECURITY_33 if answer == _version(3) else NO_SECURITY
        for minor in _MINORS:
            if answer == _version(minor) and minor <= highest:
                self._out[SERVER] += answer
                return minor
        raise Refused(f"the viewer must speak RFB 3.3, 3.7 or 3.8, at most 3.{highest}: {answer!r}")

    def _choose_security(self, minor: int) -> Generator[_Awaited, bytes, int | None]:
        """Pass the security types and the choice (7.1.2), which is returned.

        None means that the server turns the client away. What cannot be read inside is not
        offered where there is something to look for and another choice.
        """
        if minor == 3:
            number = int.from_bytes((yield SERVER, 4), "big")
            offered = [number] if number else []
        else:
            (count,) = yield SERVER, 1
            offered = list((yield SERVER, count))
        if not offered:
            nothing = NO_SECURITY_33 if minor == 3 else NO_SECURITY
            yield from self._fail(nothing, reason_follows=True)
            return None
        readable = [number for number in offered if number in _READABLE]
        if self._watch and not readable:
            kinds = ", ".join(map(str, offered))
            raise Refused(
                f"this console cannot be watched, only controlled: its VNC server wants a login of"
                f" type {kinds}, behind which nobody sees what passes; None (1) and VNC (2) will do"
            )
        if readable and (self._watch or self._expect_name is not None):
            offered = readable
        self._refuse_with = None
        if minor == 3:
            self._out[CLIENT] += struct.pack(">I", offered[0])
            return offered[0]
        self._out[CLIENT] += bytes([len(offered), *offered])
        choice = yield CLIENT, 1
        if choice[0] not in offered:
            raise Refused(f"the viewer chose the login of type {choice[0]}, which was not offered")
        self._out[SERVER] += choice
        return choice[0]

    def _fail(self, said: bytes, *, reason_follows: bool) -> Generator[_Awaited, bytes, None]:
        """Pass the server's refusal, with its reason (7.1.2, 7.1.3)."""
        self._out[CLIENT] += said
        self._refuse_with = b"" if reason_follows else None
        if reason_follows:
            length = yield SERVER, 4
            reason = yield SERVER, self._length(length, "reason")
            self._out[CLIENT] += length + reason
        self._refuse_with = None

    def _initialise(self, result: bytes) -> Generator[_Awaited, bytes, None]:
        """Look at the server's name (7.3.2) before the client hears that it is logged in.

        Only until then can it be told why not. So the ClientInit (7.3.1) is ours, and shared: no
        visitor throws out another.
        """
        self._out[SERVER] += _SHARED
        size = yield SERVER, 20
        length = yield SERVER, 4
        name = yield SERVER, self._length(length, "desktop name")
        expected = self._expect_name
        if expected is not None and name != expected.encode("utf-8", "surrogateescape"):
            raise Refused(
                f"the VNC server that was {expected!r} shows another VM:"
                f" {name[:100].decode('utf-8', 'replace')!r}; connect again to have it looked up"
            )
        self._out[CLIENT] += result
        self._refuse_with = None
        yield CLIENT, 1
        self._out[CLIENT] += size + length + name

    def _length(self, sent: bytes, what: str) -> int:
        length = int.from_bytes(sent, "big")
        if length > _MAX_TEXT:
            raise Refused(
                f"the VNC server announces a {what} of {length} bytes; {_MAX_TEXT} are taken"
            )
        return length


def _version(minor: int) -> bytes:
    return b"RFB 003.%03d\n" % minor


def _drain(buffer: bytearray) -> bytes:
    content = bytes(buffer)
    buffer.clear()
    return content
