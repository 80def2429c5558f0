# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The sessions of a process: counted, bounded, told to the journal."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from novnc_endpoint.session import INTERNAL, POLICY, Limits, Session, Visitor

_CHECKED_EVERY = 1.0
"""Seconds between looks at the limits."""
_KEPT = 1000
"""Sessions that are still told of after their end."""

Facts = dict[str, Any]
"""What is told of a session, as JSON types."""


class FullError(Exception):
    """A VM has as many sessions as it may have."""


class TakenError(Exception):
    """There is a session of that id."""


class Sessions:
    """All sessions, from their request on.

    Attributes:
        limits: What none of them may exceed; may be changed at any time.
        per_vm: How many one VM may have at once.
        totals: Sums since the start: ``sessions``, and ``bytes_in`` and ``bytes_out`` of those
            that have ended.
        ended: The last sessions that have ended, with a ``number`` and the ``reason``; ``last`` is
            the last number.
        on_end: Is told of each session of this process that has ended.
    """

    def __init__(self, limits: Limits, per_vm: int) -> None:
        self.limits, self.per_vm = limits, per_vm
        self.totals: Counter[str] = Counter()
        self.ended: deque[Facts] = deque(maxlen=_KEPT)
        self.last = 0
        self.on_end: Callable[[Facts], None] = lambda _facts: None
        self._open: dict[str, Session] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def begin(
        self,
        vm: str,
        uuid: str,
        visitor: Visitor,
        identity: str = "",
        elsewhere: Sequence[Mapping[str, Any]] = (),
    ) -> Session:
        """Return a new session.

        Args:
            vm: The VM's name.
            uuid: Its uuid.
            visitor: Who comes.
            identity: The session's id; empty for a new one.
            elsewhere: Sessions of other processes.

        Raises:
            FullError: The VM has as many as it may have.
            TakenError: There is a session of that id.
        """
        here = sum(one.uuid == uuid for one in self._open.values())
        # Without a uuid it is a visitor who will only hear why there is no console.
        if uuid and here + sum(one["uuid"] == uuid for one in elsewhere) >= self.per_vm:
            raise FullError(f"{vm} has {self.per_vm} sessions, as many as it may have")
        if identity in self._open or any(one["session"] == identity for one in elsewhere):
            raise TakenError(f"there is a session {identity}; a new one wants an id of its own")
        session = Session(identity or secrets.token_hex(16), vm, uuid, visitor, self._ended)
        self._open[session.id] = session
        self._empty.clear()
        self.totals["sessions"] += 1
        journal("session-start", **about(session))
        if self._timer is None:
            self._watch()
        return session

    def _ended(self, session: Session) -> None:
        del self._open[session.id]
        facts = {**about(session), **measured(session), "reason": session.reason}
        journal("session-end", **facts)
        self.keep(facts)
        self.on_end(facts)
        if not self._open:
            self._empty.set()

    def keep(self, facts: Facts) -> None:
        """Count a session that has ended, here or in another process, and tell of it later.

        Another process tells again what it does not know to have been heard.
        """
        if self._tell_later(facts):
            self.totals["bytes_in"] += facts["bytes_in"]
            self.totals["bytes_out"] += facts["bytes_out"]

    def inherit(self, ended: Iterable[Facts]) -> None:
        """Tell of what another process told of before this one; that has counted it."""
        for facts in ended:
            self._tell_later(facts)

    def _tell_later(self, facts: Facts) -> bool:
        """Add to what is told, and return whether it is new."""
        if any(one["session"] == facts["session"] for one in self.ended):
            return False
        self.last += 1
        self.ended.append({**facts, "number": self.last})
        return True

    def facts(self) -> list[Facts]:
        """Return what there is to tell of the open ones."""
        return [{**about(one), **measured(one)} for one in self]

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
