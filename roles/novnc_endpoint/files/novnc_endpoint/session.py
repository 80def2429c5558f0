# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""One visitor of one VM: from the upgrade of the connection to the reason why it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    frame_head,
)

from novnc_endpoint.ends import End
from novnc_endpoint.frames import FrameFaultError, FrameReader, close_frame
from novnc_endpoint.gate import Gate, Refusal, Refused
from novnc_endpoint.handshake import CLIENT, PERSON, SERVER

NORMAL, GOING_AWAY, POLICY, INTERNAL = 1000, 1001, 1008, 1011
"""Codes of close frames (RFC 6455, section 7.4.1)."""

_FAREWELL = 3.0
"""Seconds that a visitor has for taking leave, or for hearing why there is no console."""
_TYPING_TIME = 300.0
"""Seconds that somebody has for a password, which they may have to look for."""


@dataclass(frozen=True)
class Visitor:
    """Who comes, as the gateway says.

    Attributes:
        user: The name under which somebody has logged in.
        client: Where they come from; empty if the gateway does not say.
        mode: ``control`` or ``watch``.
        gateway: The names of the gateway's certificate.
    """

    user: str
    client: str
    mode: str
    gateway: frozenset[str]


@dataclass(frozen=True)
class Limits:
    """How long a session may take, in seconds; 0 is without limit."""

    session: float = 28800
    idle: float = 0
    stall: float = 30


class Session:
    """A visitor's session; told by `End`, ended by anybody.

    Attributes:
        id: Names it, unguessable.
        vm: The VM's name, and ``uuid`` its uuid.
        bytes_in: Bytes of RFB that the visitor has sent, and ``bytes_out`` those sent to them.
        reason: Why it ended; empty while it goes on.
        on_refusal: What to do, beyond telling the visitor, if there is no console to show.
    """

    def __init__(
        self, identity: str, vm: str, uuid: str, visitor: Visitor, ended: Callable[[Session], None]
    ) -> None:
        self.id, self.vm, self.uuid, self.visitor = identity, vm, uuid, visitor
        self.bytes_in = self.bytes_out = 0
        self.reason = ""
        self.on_refusal: Callable[[], None] = lambda: None
        self.client = End(self)
        self._server = End(self)
        self._gate: Gate | None = None
        self._frames = FrameReader()
        self._refusal: Refusal | None = None
        self._refused = ""
        self._ended = ended
        self.started = self._last_input = self._turn_began = time.monotonic()
        self._turn = SERVER
        self._inputs = 0
        self._waiting: dict[End, tuple[int, float]] = {}

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return round(time.monotonic() - self.started, 3)

    def server_end(self, gate: Gate) -> End:
        """Return the end for the connection to the VNC server, watched over by ``gate``."""
        self._gate = gate
        self.client.peer, self._server.peer = self._server, self.client
        if self.client.blocked:
            self._server.pause()
        return self._server

    def received(self, end: End, data: memoryview) -> None:
        """Pass on what one end has received. Called by the ends."""
        if end is self._server and (self.reason or self._refusal):
            return
        try:
            if end is self._server:
                self._rfb_from_server(data)
            else:
                self._from_client(data)
        except FrameFaultError as fault:
            self.end(fault.code, f"the visitor broke the WebSocket protocol: {fault.reason}")
        except Refused as refused:
            self.refuse(refused.reason)

    def _rfb_from_server(self, data: memoryview) -> None:
        gate = self._gate
        if gate is None or gate.ready:
            self._send(data)
            return
        self._send(gate.from_server(data))
        # What one side says may set free what the other has said before.
        self._server.write(bytes(gate.from_client(b"")))
        self._note_turn(gate)

    def _rfb_from_client(self, payload: bytes) -> None:
        gate = self._gate
        if self._refusal:
            self._send(self._refusal.from_client(payload))
            self._end_refused()
        elif gate:
            shaking_hands = not gate.ready
            self._server.write(bytes(gate.from_client(payload)))
            if shaking_hands:
                self._send(gate.from_server(b""))
                self._note_turn(gate)
            if gate.input_seen != self._inputs:
                self._inputs, self._last_input = gate.input_seen, time.monotonic()

    def _note_turn(self, gate: Gate) -> None:
        """Note who has to go on with the handshake, and since when."""
        if gate.awaits != self._turn:
            self._turn, self._turn_began = gate.awaits, time.monotonic()

    def _send(self, data: bytes | bytearray | memoryview) -> None:
        """Send RFB to the visitor."""
        if data:
            self.bytes_out += len(data)
            self.client.write(b"".join((frame_head(len(data)), data)))

    def _from_client(self, data: memoryview) -> None:
        for opcode, payload in self._frames.feed(data):
            if opcode == BINARY and not self.reason:
                self.bytes_in += len(payload)
                self._rfb_from_client(payload)
            elif opcode == CLOSE:
                self._client_closes()
                return
            elif opcode == PING and not self.client.blocked:
                self.client.write(frame_head(len(payload), PONG) + payload)

    def _client_closes(self) -> None:
        if not self.reason:
            self.end(NORMAL, "the visitor closed the console")
        self.client.close()

    def refuse(self, reason: str) -> None:
        """Say why there is no console, as far as possible so that noVNC shows it, and end."""
        if self.reason or self._refusal:
            return
        self._refused = reason
        self.on_refusal()
        self._refusal = self._gate.refuse(reason) if self._gate else Refusal(reason)
        self._server.abort()
        self._send(self._refusal.opening)
        self._end_refused()
        asyncio.get_running_loop().call_later(_FAREWELL, self.end, INTERNAL, reason)

    def _end_refused(self) -> None:
        if self._refusal and self._refusal.done:
            self.end(INTERNAL, self._refused)

    def end(self, code: int, reason: str) -> None:
        """End the session, unless it has ended; tell the visitor, who has a moment to leave."""
        if self.reason:
            return
        self.reason = reason
        self._ended(self)
        self._server.abort()
        self.client.write(close_frame(code, reason))
        self.client.resume()
        loop = asyncio.get_running_loop()
        loop.call_later(_FAREWELL, self.client.close)
        loop.call_later(2 * _FAREWELL, self.client.abort)

    def lost(self, end: End) -> None:
        """End the session whose one end has gone. Called by the ends."""
        if end is self.client:
            self.end(NORMAL, self._refused or "the visitor's connection was cut")
        elif self._gate and not self._gate.ready:
            self.refuse(f"the VNC server of {self.vm} closed the connection at once")
        else:
            self.end(
                GOING_AWAY,
                f"the VNC server of {self.vm} closed the connection: the VM was switched off, "
                "restarted or moved",
            )

    def check(self, limits: Limits, now: float) -> None:
        """End the session if it has exceeded a limit. ``now`` is ``time.monotonic()``."""
        if self.reason:
            return
        if limits.session and now - self.started > limits.session:
            self.end(POLICY, f"the session has lasted {limits.session:g} s, the longest allowed")
        elif self._idle(limits, now):
            self.end(POLICY, f"nobody has used the console for {limits.idle:g} s")
        elif late := self._late_in_handshake(limits, now):
            self._end_handshake(late, limits)
        elif self._stalls(self.client, limits, now):
            self.end(POLICY, f"the visitor has taken nothing for {limits.stall:g} s")
            self.client.abort()
        elif self._stalls(self._server, limits, now):
            self.end(INTERNAL, f"the VNC server of {self.vm} took nothing for {limits.stall:g} s")

    def _late_in_handshake(self, limits: Limits, now: float) -> str:
        """Return who should have gone on with the handshake by now; empty if nobody should."""
        if not self._gate or self._refusal:
            return ""
        patience = max(limits.stall, _TYPING_TIME) if self._turn == PERSON else limits.stall
        return self._turn if limits.stall and now - self._turn_began > patience else ""

    def _end_handshake(self, late: str, limits: Limits) -> None:
        if late == SERVER:
            self.refuse(f"the VNC server of {self.vm} has said nothing for {limits.stall:g} s")
        elif late == CLIENT:
            self.end(POLICY, f"the visitor has said nothing for {limits.stall:g} s")
        elif late == PERSON:
            self.end(POLICY, "nobody has given the password of the VNC server")

    def _idle(self, limits: Limits, now: float) -> bool:
        """Whether a visitor who may use keys and pointer has not; who watches never does."""
        idle = self.visitor.mode == "control" and now - self._last_input > limits.idle
        return limits.idle > 0 and idle

    def _stalls(self, end: End, limits: Limits, now: float) -> bool:
        """Whether an end takes nothing of what waits for it."""
        if not (limits.stall and end.blocked):
            self._waiting.pop(end, None)
            return False
        unsent = 0
        with suppress(OSError, ValueError):  # the connection has just gone
            unsent = end.unsent()
        before, since = self._waiting.get(end, (-1, now))
        if unsent != before:
            self._waiting[end] = (unsent, now)
            return False
        return now - since > limits.stall
