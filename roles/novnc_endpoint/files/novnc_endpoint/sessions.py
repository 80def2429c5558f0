# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The sessions of a process: counted, bounded, told to the journal."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator

from novnc_endpoint.session import INTERNAL, POLICY, Limits, Session, Visitor

_CHECKED_EVERY = 1.0
"""Seconds between looks at the limits."""


class FullError(Exception):
    """A VM has as many sessions as it may have."""


class Sessions:
    """All sessions, from their request on.

    Attributes:
        limits: What none of them may exceed; may be changed at any time.
        per_vm: How many one VM may have at once.
        totals: Sums since the start: ``sessions``, and ``bytes_in`` and ``bytes_out`` of those
            that have ended.
    """

    def __init__(self, limits: Limits, per_vm: int) -> None:
        self.limits, self.per_vm = limits, per_vm
        self.totals: Counter[str] = Counter()
        self._open: dict[str, Session] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, vm: str, uuid: str, visitor: Visitor) -> Session:
        """Return a new session. Raises FullError."""
        if sum(one.uuid == uuid for one in self._open.values()) >= self.per_vm:
            raise FullError(f"{vm} has {self.per_vm} sessions, as many as it may have")
        session = Session(secrets.token_hex(8), vm, uuid, visitor, self._ended)
        self._open[session.id] = session
        self._empty.clear()
        self.totals["sessions"] += 1
        journal("session-start", **about(session))
        if self._timer is None:
            self._watch()
        return session

    def _ended(self, session: Session) -> None:
        del self._open[session.id]
        self.totals["bytes_in"] += session.bytes_in
        self.totals["bytes_out"] += session.bytes_out
        journal("session-end", **about(session), **measured(session), reason=session.reason)
        if not self._open:
            self._empty.set()

    def kill(self, identity: str, reason: str) -> bool:
        """End a session; return whether there was one of that id."""
        session = self._open.get(identity)
        if session:
            session.end(POLICY, reason)
        return session is not None

    def expel(self, allowed: frozenset[str]) -> None:
        """End the sessions that gateways have opened none of whose names is allowed."""
        for session in self:
            if not session.visitor.gateway & allowed:
                names = ", ".join(sorted(session.visitor.gateway))
                session.end(POLICY, f"the certificate of {names} is no longer on the list")

    async def none_left(self) -> None:
        """Wait until the last one has ended."""
        await self._empty.wait()

    def _watch(self) -> None:
        """Look at the limits every second, as long as there are sessions."""
        loop, now = asyncio.get_running_loop(), time.monotonic()
        # First of all, so that whatever happens to one session the others keep their limits.
        self._timer = loop.call_later(_CHECKED_EVERY, self._watch) if self._open else None
        for session in list(self._open.values()):
            try:
                session.check(self.limits, now)
            except Exception as error:
                session.end(INTERNAL, f"the endpoint failed: {type(error).__name__}: {error}")


def about(session: Session) -> dict[str, str]:
    """Return who looks at what."""
    return {
        "session": session.id,
        "vm": session.vm,
        "uuid": session.uuid,
        "user": session.visitor.user,
        "client": session.visitor.client,
        "mode": session.visitor.mode,
    }


def measured(session: Session) -> dict[str, float]:
    """Return how much it has been so far."""
    return {
        "bytes_in": session.bytes_in,
        "bytes_out": session.bytes_out,
        "seconds": session.seconds,
    }


def journal(event: str, **facts: object) -> None:
    """Write a line of JSON to the journal."""
    print(json.dumps({"event": event, **facts}), flush=True)
