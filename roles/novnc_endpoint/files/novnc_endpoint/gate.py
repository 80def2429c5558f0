# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What may pass between a visitor and a VM's VNC server; pure, no I/O."""

from __future__ import annotations

from novnc_endpoint.client_messages import ClientMessages
from novnc_endpoint.handshake import CLIENT, OPAQUE, OVER, SERVER, Handshake
from novnc_endpoint.refusal import VERSION, Buffer, Refusal, Refused, refusal

__all__ = ["VERSION", "Gate", "Refusal", "Refused", "refusal"]

CONTROL, WATCH = "control", "watch"


class Gate:
    """What passes between one visitor, an RFB client, and one VNC server, from the first byte on.

    Until `ready`, what one side says may set free what the other has said before: after each call
    of one method call the other with ``b""``, and pass that on as well.

    In either mode the server's name is checked before the visitor sees anything, everybody's
    ClientInit is shared, and only security types None and VNC authentication are offered where
    the server has them and there is something to check. Behind others (TLS) nobody can look: they
    are refused to who watches, and pass unchecked to who controls.

    Attributes:
        ready: The handshake is over and passed on: what the server sends passes as it is, and so
            does, in mode ``control``, what the visitor sends.
    """

    def __init__(self, mode: str, expect_name: str | None) -> None:
        """Guard one session.

        Args:
            mode: ``control`` or ``watch``.
            expect_name: The desktop name that the right server announces, such as
                ``QEMU (web01)``; None if any will do.

        Raises:
            ValueError: The mode is another one.
        """
        if mode not in (CONTROL, WATCH):
            raise ValueError(f"mode must be {CONTROL} or {WATCH}, not {mode!r}")
        self.ready = False
        self._watch = mode == WATCH
        self._refused: str | None = None
        self._handshake: Handshake | None = Handshake(watch=self._watch, expect_name=expect_name)
        self._messages = ClientMessages(watch=self._watch)
        self._opaque = False
        self._opaque_bytes = 0

    @property
    def awaits(self) -> str:
        """Who has to go on, as `Handshake.awaits`; empty from where nobody can tell any more."""
        return self._handshake.awaits if self._handshake else ""

    @property
    def input_seen(self) -> int:
        """A number that has grown whenever the visitor has used keys or pointer since.

        In mode ``watch`` too, where none of it passes. Where the client cannot be understood,
        every byte counts.
        """
        return self._messages.inputs + self._opaque_bytes

    def from_server(self, data: Buffer) -> Buffer:
        """Take what the server sends; return what may go on to the visitor now.

        Raises:
            Refused: This must not go on; `refuse` tells the visitor.
        """
        if self.ready:
            return data
        return self._shake_hands(SERVER, data)

    def from_client(self, data: Buffer) -> Buffer:
        """Take what the visitor sends; return what may go on to the server now.

        Raises:
            Refused: As with `from_server`.
        """
        if self.ready:
            return self._read_messages(data)
        return self._shake_hands(CLIENT, data)

    def refuse(self, reason: str) -> Refusal:
        """Let nothing pass any more; return what tells the visitor why, as far as RFB has a way."""
        self._stop(reason)
        if self._handshake is None:
            return Refusal(reason, b"", done=True)
        return self._handshake.refuse(reason)

    def _stop(self, reason: str) -> None:
        self._refused = reason
        self.ready = False

    def _shake_hands(self, sender: str, data: Buffer) -> Buffer:
        if self._refused is not None or self._handshake is None:
            raise Refused(self._refused or "the session is over")
        try:
            self._handshake.take(sender, data)
        except Refused as refused:
            self._stop(refused.reason)
            raise
        passed = self._handshake.passed(CLIENT if sender == SERVER else SERVER)
        if not self._handshake.outcome:
            return passed
        left = self._handshake.left(sender)
        if self._handshake.outcome == OVER:
            return passed
        if self._handshake.outcome == OPAQUE:
            self._opaque = True
        passed += bytes(left if sender == SERVER else self._read_messages(left))
        if self._handshake.empty:
            self.ready, self._handshake = True, None
        return passed

    def _read_messages(self, data: Buffer) -> Buffer:
        if self._opaque:
            self._opaque_bytes += len(data)
            return data
        try:
            allowed = self._messages.allowed(data)
        except Refused as refused:
            if self._watch:
                self._stop(refused.reason)
                raise
            self._opaque = True
            self._opaque_bytes += self._messages.unread
            return data
        return allowed if self._watch else data
