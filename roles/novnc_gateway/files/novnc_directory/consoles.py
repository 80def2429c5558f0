# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The consoles that were let in here: where they are, and which of them have to end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.vm import own_uuid

from novnc_directory.audit import about, journal
from novnc_directory.endpoints import Look, SilentError
from novnc_directory.fleet import Fleet
from novnc_directory.records import Console, Login, credential
from novnc_directory.rights import CONTROL, Account
from novnc_directory.settings import Settings
from novnc_directory.store import Store

_ARRIVES_IN = 20.0
"""Seconds in which a console that was let in has to show up at its endpoint.

nginx connects and speaks TLS for 5 s each at most, and an endpoint waits 10 s for libvirt.
"""
_RETRY = 0.2
"""Seconds between two tries to end a console that is on its way to its endpoint."""
_WATCHED_EVERY = 2.0
"""Seconds between two looks at what has to end."""
_PATIENCE = 2.0
"""Seconds for which new settings wait for the end of consoles that they no longer allow."""
_SEEN_OFF_IN = 20.0
"""Seconds in which the consoles of a host that leaves the fleet have to end."""
_MOST_LOST = 1000
"""Consoles that are kept in mind after their endpoints have lost sight of them."""
_LONGEST = 255

NO_LOGIN = "the log-in is over"
NO_HOST = "its host belongs to the fleet no more"
NO_RIGHT = "the right to see it this way was taken away"
NO_SUCH_VM = "it shows another VM than it was opened for"
LOST = "its endpoint knows nothing of it"
UNHEARD = "its endpoint is silent and has never told of it"


class Consoles:
    """All of them.

    Attributes:
        settings: In force from now on; exchanged by `use`.
        totals: Sums since the start.
        fleet: The hosts that they are on.
    """

    def __init__(
        self, settings: Settings, store: Store, account: Callable[[str], Account | None]
    ) -> None:
        """Begin with those that are open; ``account`` returns an account by its name."""
        self.settings = settings
        self.totals: Counter[str] = Counter()
        self.fleet = Fleet(store, self.told, self.unheard)
        self._store = store
        self._account = account
        self._lost: OrderedDict[str, Console] = OrderedDict()
        self._ending: dict[str, asyncio.Task[None]] = {}

    def __iter__(self) -> Iterator[Console]:
        return iter(self._store.consoles())

    async def use(self, settings: Settings) -> None:
        """Take new settings; what they no longer allow ends at once. Raises OSError."""
        self.settings = settings
        # First by the endpoints known so far: a host may be on the list no more.
        self.sweep()
        if self._ending:
            await asyncio.wait(list(self._ending.values()), timeout=_PATIENCE)
        await self.fleet.use(settings, {console.host for console in self})
        for console in [one for one in self if self.fleet.find(one.host) is None]:
            self._lose(console, NO_HOST)

    def begin(self, console: Console) -> None:
        """Let somebody into a console. Raises StoreError."""
        self._store.open(console)
        self.totals["consoles"] += 1
        journal("console-start", **about(console))

    def told(self, host: str, look: Look) -> None:
        """Take what a host tells: who is there, and which consoles have ended."""
        ended = {str(one["session"]): one for one in look.ended}
        there = {str(one["session"]): one for one in look.sessions}
        for identity, one in {**ended, **there}.items():
            self._find_again(identity, host, one, is_there=identity in there)
        for console in [one for one in self if one.host == host]:
            # It may have ended after the endpoint has told who is there.
            if console.id in ended:
                self._ended(console, ended[console.id])
            elif console.id in there:
                if not console.seen:
                    self._store.keep(replace(console, seen=True))
                self._touch(console)
                # One without a uuid shows no VM, but says why.
                if own_uuid(str(there[console.id].get("uuid"))) not in ("", console.uuid):
                    self._begin_end(console, NO_SUCH_VM)
            elif time.time() - console.begun > _ARRIVES_IN:
                self._lose(console, LOST)

    def unheard(self, host: str) -> None:
        """Give up what may never have reached a silent host; what was seen there may still be."""
        for console in self:
            late = time.time() - console.begun > _ARRIVES_IN
            if console.host == host and late and not console.seen:
                self._lose(console, UNHEARD)

    def _find_again(
        self, identity: str, host: str, told: dict[str, Any], *, is_there: bool
    ) -> None:
        """Take a console back into the books that was let in here and has been lost since."""
        console = self._lost.pop(identity, None)
        # What bears another mark is another gateway's.
        if console is None and is_there and identity.startswith(self._store.mark):
            if self._store.console(identity):
                return
            # Nobody knows whose log-in it belongs to, so that it has to end.
            facts = {key: _text(told.get(key)) for key in ("user", "client", "uuid", "vm", "mode")}
            console = Console(
                id=identity, login="", host=host, begun=time.time(), seen=True, **facts
            )
        if console:
            self._store.keep(console)
            journal("console-found", **about(console))
            if reason := self._fault(console):
                self._begin_end(console, reason)

    def _touch(self, console: Console) -> None:
        """Note that who has a console open is not idle."""
        if login := self._store.login(console.login):
            self._store.touch(login, time.time())

    def _ended(self, console: Console, measured: Mapping[str, object]) -> None:
        self._store.close_console(console.id)
        facts = {key: measured.get(key) for key in ("seconds", "bytes_in", "bytes_out", "reason")}
        journal("console-end", **about(console), **facts)

    def _lose(self, console: Console, reason: str) -> None:
        """Give up a console whose end nobody has told of; it may be found again."""
        self._ended(console, {"reason": reason})
        self._lost[console.id] = console
        if len(self._lost) > _MOST_LOST:
            self._lost.popitem(last=False)

    def hand_over(self, before: Login, login: Login) -> None:
        """Let the consoles of a log-in belong to another one of the same user."""
        for console in self:
            if console.login == before.id:
                self._store.keep(replace(console, login=login.id))

    async def watch(self) -> None:
        """End what has to end, as long as the directory runs."""
        while True:
            self.fleet.check()
            self._expire()
            self.sweep()
            await self._see_off()
            await asyncio.sleep(_WATCHED_EVERY)

    def _expire(self) -> None:
        """Forget log-ins that are over."""
        for login in self._store.logins():
            account = self._account(login.user)
            if account is None or self.is_over(login, account):
                self._store.end(login.id)
                journal("login-over", user=login.user, client=login.client, login=login.id[:12])

    def sweep(self) -> None:
        """End the consoles that may no longer be."""
        for console in self:
            if reason := self._fault(console):
                self._begin_end(console, reason)

    def _begin_end(self, console: Console, reason: str) -> None:
        if console.id not in self._ending:
            task = asyncio.get_running_loop().create_task(self._end(console, reason))
            self._ending[console.id] = task

    async def _see_off(self) -> None:
        """Drop the hosts that are leaving, once their consoles have ended or cannot be reached."""
        for name, host in list(self.fleet.leaving.items()):
            consoles = [one for one in self if one.host == name]
            if consoles and time.monotonic() - host.left < _SEEN_OFF_IN:
                continue
            for console in consoles:
                self._lose(console, NO_HOST)
            await self.fleet.drop(name)

    def _fault(self, console: Console) -> str:
        """Return why a console has to end; empty if it may go on."""
        login, account = self._store.login(console.login), self._account(console.user)
        if login is None or account is None or self.is_over(login, account):
            return NO_LOGIN
        if console.host not in self.settings.endpoints:
            return NO_HOST
        known = self.fleet.find(console.host)
        vms = known.answer.vms if known and known.answer else ()
        names = [vm.name for vm in vms if vm.uuid == console.uuid]
        may = self.settings.rights.may(account, console.host, names[0] if names else console.vm)
        return "" if may in (CONTROL, console.mode) else NO_RIGHT

    def is_over(self, login: Login, account: Account) -> bool:
        """Tell whether a log-in is good no longer."""
        other = login.credential != credential(account.password_hash)
        return other or login.is_over(self.settings.limits, time.time())

    async def _end(self, console: Console, reason: str) -> None:
        """End a console; one that is still on its way to its endpoint when it gets there."""
        try:
            while self._store.console(console.id):
                host = self.fleet.find(console.host)
                if host is None:
                    return
                if await host.endpoint.end(console.id, f"the gateway: {reason}"):
                    await self.fleet.look(console.host)  # which tells how much it was
                    return
                if time.time() - console.begun > _ARRIVES_IN:
                    return
                await asyncio.sleep(_RETRY)
        except SilentError:
            return  # again at its next answer
        finally:
            del self._ending[console.id]


def _text(told: object) -> str:
    """Return what an endpoint tells as a text that can be kept."""
    return str(told)[:_LONGEST].encode(errors="replace").decode()
