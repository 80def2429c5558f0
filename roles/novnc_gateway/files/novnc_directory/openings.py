# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who may open which console now, and which of those that are open have to end."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from novnc_directory.audit import about, journal
from novnc_directory.endpoints import Look, SilentError
from novnc_directory.fleet import Fleet
from novnc_directory.rights import CONTROL, NONE, Account
from novnc_directory.settings import Settings
from novnc_directory.store import Console, Login, Store, credential
from novnc_directory.vms import RUNNING, Listing, Vm

_ARRIVES_IN = 20.0
"""Seconds in which a console that was let in has to show up at its endpoint."""
_RETRY = 0.2
"""Seconds between two tries to end a console that is on its way to its endpoint."""
_WATCHED_EVERY = 2.0
"""Seconds between two looks at what has to end."""
_MOST_LISTINGS = 100
"""Users for whom the VMs that they may see are kept in mind."""
_PATIENCE = 2.0
"""Seconds for which new settings wait for the end of consoles that they no longer allow."""

NO_LOGIN = "the log-in is over"
NO_HOST = "its host belongs to the fleet no more"
NO_RIGHT = "the right to see it this way was taken away"


class NoConsoleError(Exception):
    """There is no such console, or none for this user; which of the two is told to nobody."""


class FullError(Exception):
    """As many consoles are open as may be; the message is a sentence for the user."""


class Openings:
    """All consoles that were let in here.

    Attributes:
        settings: In force from now on; exchanged by `use`.
        totals: Sums since the start.
    """

    def __init__(
        self, settings: Settings, store: Store, account: Callable[[str], Account | None]
    ) -> None:
        """Begin with the consoles that are open; ``account`` returns an account by its name."""
        self.settings = settings
        self.totals: Counter[str] = Counter()
        self.fleet = Fleet(store, self.told)
        self._store = store
        self._account = account
        self._open = {console.id: console for console in store.consoles()}
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._listings: dict[Account, Listing] = {}
        self._version = -1

    def __iter__(self) -> Iterator[Console]:
        return iter(list(self._open.values()))

    async def use(self, settings: Settings) -> None:
        """Take new settings; what they no longer allow ends at once. Raises OSError."""
        self.settings = settings
        self._listings.clear()
        # First by the endpoints known so far: a host may be on the list no more.
        self.sweep()
        if self._ending:
            await asyncio.wait(list(self._ending.values()), timeout=_PATIENCE)
        await self.fleet.use(settings)
        for console in [one for one in self if one.host not in settings.endpoints]:
            self._ended(console, {"reason": NO_HOST})

    def listing(self, account: Account) -> Listing:
        """Return the VMs that somebody may see."""
        if self._version != self.fleet.version or len(self._listings) > _MOST_LISTINGS:
            self._listings.clear()
            self._version = self.fleet.version
        if account not in self._listings:
            self._listings[account] = Listing(
                vm for vm in self.fleet.vms if self.may(account, vm) != NONE
            )
        return self._listings[account]

    def may(self, account: Account, vm: Vm) -> str:
        """Return what somebody may do with a VM."""
        return self.settings.rights.may(account, vm.host, vm.name)

    async def find(self, account: Account, segment: str) -> list[Vm]:
        """Return the VMs that somebody means; if they don't run, after a look at the hosts."""
        found = self.listing(account).find(segment)
        if [vm.state for vm in found] == [RUNNING]:
            return found
        await self.fleet.refresh()
        return self.listing(account).find(segment)

    async def open(self, login: Login, account: Account, segment: str, client: str) -> Console:
        """Let somebody into a console. Raises NoConsoleError, FullError."""
        found = await self.find(account, segment)
        if len(found) == 1 and self.full(account, found[0]):
            await self.fleet.refresh()  # some may have ended since
        # Those looks took a while.
        found = self.listing(account).find(segment)
        still = self._account(account.name)
        if len(found) != 1 or still != account or self._store.login(login.id) is None:
            raise NoConsoleError
        vm = found[0]
        if sentence := self.full(account, vm):
            raise FullError(sentence)
        mode = self.may(account, vm)
        console = Console(
            secrets.token_hex(16),
            login.id,
            account.name,
            client,
            vm.host,
            vm.uuid,
            vm.name,
            mode,
            time.time(),
        )
        self._store.open(console)
        self._open[console.id] = console
        self.totals["consoles"] += 1
        journal("console-start", **about(console))
        return console

    def full(self, account: Account, vm: Vm) -> str:
        """Return why nobody more gets in, in a sentence; empty if somebody does."""
        limits, open_now = self.settings.limits, list(self._open.values())
        own = sum(one.user == account.name for one in open_now)
        # A check opens every console there is, one after the other.
        if own >= limits.per_user and not account.watches_all:
            return f"You have {limits.per_user} consoles open, as many as you may have."
        if sum(one.uuid == vm.uuid for one in open_now) >= limits.per_vm:
            return f"{vm.name} has {limits.per_vm} viewers, as many as it may have."
        return ""

    def viewers(self) -> Mapping[str, list[dict[str, str]]]:
        """Return who is looking at which VM, by uuid, other gateways' visitors too."""
        seen = {one.id: (one.uuid, one.user, one.mode) for one in self._open.values()}
        for host in self.fleet.hosts.values():
            for one in host.sessions:
                told = (str(one.get("uuid")), str(one.get("user")), str(one.get("mode")))
                seen.setdefault(str(one["session"]), told)
        found: dict[str, list[dict[str, str]]] = {}
        for uuid, user, mode in sorted(seen.values()):
            found.setdefault(uuid, []).append({"user": user, "mode": mode})
        return found

    def told(self, host: str, look: Look) -> None:
        """Take what a host tells: who is there, and which consoles have ended."""
        reasons = {str(one["session"]): one for one in look.ended}
        there = {str(one["session"]) for one in look.sessions}
        for console in [one for one in self._open.values() if one.host == host]:
            # It may have ended after the endpoint has told who is there.
            if console.id in reasons:
                self._ended(console, reasons[console.id])
            elif console.id in there:
                self._touch(console)
            elif time.time() - console.begun > _ARRIVES_IN:
                self._ended(console, {"reason": "its endpoint knows nothing of it"})

    def _touch(self, console: Console) -> None:
        """Note that who has a console open is not idle."""
        if login := self._store.login(console.login):
            self._store.touch(login, time.time())

    def _ended(self, console: Console, measured: Mapping[str, object]) -> None:
        self._open.pop(console.id, None)
        self._store.close_console(console.id)
        facts = {key: measured.get(key) for key in ("seconds", "bytes_in", "bytes_out", "reason")}
        journal("console-end", **about(console), **facts)

    async def watch(self) -> None:
        """End what has to end, as long as the directory runs."""
        while True:
            self.fleet.check()
            self._expire()
            self.sweep()
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
            reason = self._fault(console)
            if reason and console.id not in self._ending:
                task = asyncio.get_running_loop().create_task(self._end(console, reason))
                self._ending[console.id] = task

    def _fault(self, console: Console) -> str:
        """Return why a console has to end; empty if it may go on."""
        login, account = self._store.login(console.login), self._account(console.user)
        if login is None or account is None or self.is_over(login, account):
            return NO_LOGIN
        if console.host not in self.settings.endpoints:
            return NO_HOST
        known = self.fleet.hosts.get(console.host)
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
            while console.id in self._open:
                host = self.fleet.hosts.get(console.host)
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
