# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""All endpoints, asked every few seconds side by side, and what they told last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from novnc_directory.audit import journal
from novnc_directory.endpoints import Endpoint, Look, SilentError, client_context
from novnc_directory.settings import Settings
from novnc_directory.vms import Vm, merge

_LONGEST_PAUSE = 15.0
"""Seconds between two questions to an endpoint that stays silent."""
_FRESH = 1.0
"""Seconds for which a look at all hosts counts as one of now."""
_PATIENCE = 2.0
"""Seconds for which an opening waits for a look at all hosts."""


@dataclass
class Host:
    """What is known of one hypervisor.

    Attributes:
        endpoint: Whom to ask.
        vms: What it told last; ``answered`` is when, by ``time.monotonic()``, 0 for never.
        sessions: Who was looking at what then.
        failures: How often it has been silent since.
        fault: Why; empty while it answers.
    """

    endpoint: Endpoint
    vms: tuple[Vm, ...] = ()
    sessions: tuple[dict[str, object], ...] = ()
    answered: float = 0.0
    failures: int = 0
    fault: str = ""
    poll: asyncio.Task[None] | None = None
    looking: asyncio.Task[None] | None = None

    @property
    def silent(self) -> bool:
        """Whether what it told last is no longer believed."""
        return self.failures > 1 or not self.answered

    @property
    def age(self) -> float | None:
        """Seconds since its last answer; None if it never gave one."""
        return time.monotonic() - self.answered if self.answered else None


class Fleet:
    """The hosts.

    Attributes:
        hosts: By their name in the inventory.
        vms: Every VM once.
        version: Another number whenever ``vms`` are others.
    """

    def __init__(self, told: Callable[[str, Look], None]) -> None:
        """Know no host yet; ``told`` is called with whatever a host tells."""
        self.hosts: dict[str, Host] = {}
        self.vms: tuple[Vm, ...] = ()
        self.version = 0
        self._told = told
        self._interval = 0.0
        self._refreshed = -_FRESH
        self._refreshing: asyncio.Task[None] | None = None

    async def use(self, settings: Settings) -> None:
        """Ask these endpoints from now on. Raises OSError for certificates that cannot be used."""
        context = client_context(settings)
        old, self.hosts, self._interval = self.hosts, {}, settings.poll_interval
        for name, address in settings.endpoints.items():
            host = Host(Endpoint(name, address, context))
            if name in old and old[name].endpoint.address == address:
                before = old[name]
                host.vms, host.sessions = before.vms, before.sessions
                host.answered, host.failures, host.fault = (
                    before.answered,
                    before.failures,
                    before.fault,
                )
            self.hosts[name] = host
        self._merge()
        await _close(old.values())
        for host in self.hosts.values():
            host.poll = asyncio.get_running_loop().create_task(self._poll(host))

    async def close(self) -> None:
        """Ask nobody any more."""
        await _close(self.hosts.values())

    async def refresh(self) -> None:
        """Look at all hosts now, once a second at most; don't wait for those that are silent."""
        if self._refreshing is None or self._refreshing.done():
            if time.monotonic() - self._refreshed < _FRESH:
                return
            self._refreshed = time.monotonic()
            self._refreshing = asyncio.get_running_loop().create_task(self._look_at_all())
        await asyncio.wait({self._refreshing}, timeout=_PATIENCE)

    async def look(self, name: str) -> None:
        """Look at one host, or wait for the look that is under way."""
        if host := self.hosts.get(name):
            await asyncio.shield(self._look(host))

    async def _look_at_all(self) -> None:
        looks = [self._look(host) for host in self.hosts.values()]
        if looks:
            await asyncio.wait(looks, timeout=_PATIENCE)

    async def _poll(self, host: Host) -> None:
        while True:
            await asyncio.shield(self._look(host))
            doubled = self._interval * 2.0 ** max(0, min(host.failures, 10) - 1)
            await asyncio.sleep(max(self._interval, min(doubled, _LONGEST_PAUSE)))

    def _look(self, host: Host) -> asyncio.Task[None]:
        """Return the look at a host that is under way, or begin one."""
        if host.looking is None or host.looking.done():
            host.looking = asyncio.get_running_loop().create_task(self._ask(host))
        return host.looking

    async def _ask(self, host: Host) -> None:
        name, was = host.endpoint.host, (host.vms, host.silent)
        try:
            look = await host.endpoint.look()
        except SilentError as error:
            host.failures += 1
            if host.fault != str(error):
                host.fault = str(error)
                journal("host-silent", host=name, reason=host.fault)
        else:
            if host.fault:
                journal("host-answers", host=name)
            host.vms, host.sessions = look.vms, tuple(look.sessions)
            host.answered, host.failures, host.fault = time.monotonic(), 0, ""
        if was != (host.vms, host.silent):
            self._merge()
        if not host.fault:
            self._told(name, look)

    def _merge(self) -> None:
        answers = {name: host.vms for name, host in self.hosts.items()}
        silent = {name for name, host in self.hosts.items() if host.silent}
        vms = merge(answers, silent, {vm.uuid: vm.host for vm in self.vms})
        if vms != self.vms:
            self.vms = vms
            self.version += 1


async def _close(hosts: Iterable[Host]) -> None:
    for host in hosts:
        for task in (host.poll, host.looking):
            if task:
                task.cancel()
        await host.endpoint.close()
