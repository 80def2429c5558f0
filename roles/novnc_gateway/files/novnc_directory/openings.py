# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who may see which VMs, and open which console now."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping

from novnc_directory.consoles import Consoles
from novnc_directory.records import Console, Login
from novnc_directory.rights import CONTROL, NONE, WATCH, Account
from novnc_directory.settings import Settings
from novnc_directory.store import Store
from novnc_directory.vms import RUNNING, Listing, Vm

_MOST_LISTINGS = 100
"""Users for whom the VMs that they may see are kept in mind."""


class NoConsoleError(Exception):
    """There is no such console, or none for this user; which of the two is told to nobody."""


class FullError(Exception):
    """As many consoles are open as may be; the message is a sentence for the user."""


class Openings:
    """Decides.

    Attributes:
        fleet: The hosts, and their VMs.
    """

    def __init__(
        self, consoles: Consoles, store: Store, account: Callable[[str], Account | None]
    ) -> None:
        """Know the consoles that are open; ``account`` returns an account by its name."""
        self.fleet = consoles.fleet
        self._consoles, self._store, self._account = consoles, store, account
        self._listings: dict[Account, Listing] = {}
        self._version, self._settings = -1, consoles.settings

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._consoles.settings

    def listing(self, account: Account) -> Listing:
        """Return the VMs that somebody may see."""
        self.fleet.check()  # a host may have become silent by the time that has passed
        changed = self._version != self.fleet.version or self._settings is not self.settings
        if changed or len(self._listings) > _MOST_LISTINGS:
            self._listings.clear()
            self._version, self._settings = self.fleet.version, self.settings
        if account not in self._listings:
            hosts = self.settings.endpoints  # the fleet itself may not know them yet
            self._listings[account] = Listing(
                vm for vm in self.fleet.vms if vm.host in hosts and self.may(account, vm) != NONE
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
        """Let somebody into a console. Raises NoConsoleError, FullError, StoreError."""
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
            self._store.mark + secrets.token_hex(12),
            login.id,
            account.name,
            client,
            vm.host,
            vm.uuid,
            vm.name,
            mode,
            time.time(),
        )
        self._consoles.begin(console)
        return console

    def full(self, account: Account, vm: Vm) -> str:
        """Return why nobody more gets in, in a sentence; empty if somebody does."""
        limits, open_now = self.settings.limits, self._store.consoles()
        own = [one for one in open_now if one.user == account.name]
        # A check opens every console there is, one after the other.
        if len(own) >= limits.per_user and not account.watches_all:
            return f"You have {limits.per_user} consoles open, as many as you may have."
        here = [one for one in open_now if one.uuid == vm.uuid]
        if len(here) >= limits.per_vm:
            return f"{vm.name} has {limits.per_vm} viewers, as many as it may have."
        if self.settings.rights.is_admin(account):
            return ""
        watches = self.may(account, vm) != CONTROL
        share = limits.watcher_per_vm if watches else limits.most_of_a_vm
        if sum(one.uuid == vm.uuid for one in own) >= share:
            return f"You have {share} consoles of {vm.name} open, as many as you may have."
        if watches and sum(one.mode == WATCH for one in here) >= limits.most_of_a_vm:
            return f"{limits.most_of_a_vm} people watch {vm.name}, as many as may."
        return ""

    def viewers(self) -> Mapping[str, list[dict[str, str]]]:
        """Return who is looking at which VM, by uuid, other gateways' visitors too."""
        seen = {one.id: (one.uuid, one.user, one.mode) for one in self._store.consoles()}
        for host in self.fleet.hosts.values():
            for one in host.sessions:
                told = (str(one.get("uuid")), str(one.get("user")), str(one.get("mode")))
                seen.setdefault(str(one["session"]), told)
        found: dict[str, list[dict[str, str]]] = {}
        for uuid, user, mode in sorted(seen.values()):
            found.setdefault(uuid, []).append({"user": user, "mode": mode})
        return found
