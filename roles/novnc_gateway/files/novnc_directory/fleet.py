# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""All endpoints, asked every few seconds side by side, and what they told last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from novnc_directory.audit import journal
from novnc_directory.endpoints import Endpoint, Look, SilentError, client_context
from novnc_directory.records import Answer
from novnc_directory.settings import Settings
from novnc_directory.store import Store
from novnc_directory.vms import Vm, merge

_LONGEST_PAUSE = 15.0
"""Seconds between two questions to an endpoint that stays silent."""
_BELIEVED = 10.0
"""Seconds for which an answer is believed at least, unless the next questions fail."""
_FRESH = 1.0
"""Seconds for which a look at all hosts counts as one of now."""
_PATIENCE = 2.0
"""Seconds for which an opening waits for a look at all hosts."""
_KEPT_EVERY = 60.0
"""Seconds after which an answer is kept anew though it is the same."""


@dataclass
class Host:
    """What is known of one hypervisor.

    Attributes:
        endpoint: Whom to ask.
        answer: What it told last; None if it never did.
        interval: Seconds between two questions.
        sessions: Who was looking at what then.
        failures: How often it has not answered since.
        fault: Why; empty while it answers.
        left: When it left the fleet, as ``time.monotonic()`` has it.
    """

    endpoint: Endpoint
    answer: Answer | None
    interval: float
    sessions: tuple[dict[str, Any], ...] = ()
    failures: int = 0
    fault: str = ""
    left: float = 0.0
    kept: float = 0.0
    poll: asyncio.Task[None] | None = None
    looking: asyncio.Task[None] | None = None

    @property
    def silent(self) -> bool:
        """Whether what it told last is no longer believed."""
        too_old = max(_BELIEVED, 3 * self.interval)
        return self.failures > 1 or self.age is None or self.age > too_old

    @property
    def age(self) -> float | None:
        """Seconds since its last answer; None if it never gave one."""
        return max(0.0, time.time() - self.answer.at) if self.answer else None

    @property
    def pause(self) -> float:
        """Seconds until the next question."""
        doubled = self.interval * 2.0 ** max(0, min(self.failures, 10) - 1)
        return max(self.interval, min(doubled, _LONGEST_PAUSE))


class Fleet:
    """The hosts.

    Attributes:
        hosts: By their name in the inventory.
        leaving: Those that belong to the fleet no more and have consoles that have to end.
        vms: Every VM once.
        version: Another number whenever ``vms`` are others.
    """

    def __init__(
        self, store: Store, told: Callable[[str, Look], None], unheard: Callable[[str], None]
    ) -> None:
        """Know no host yet.

        Args:
            store: Keeps what hosts tell.
            told: Is called with whatever a host tells.
            unheard: Is called each time that a silent host has been asked in vain.
        """
        self.hosts: dict[str, Host] = {}
        self.leaving: dict[str, Host] = {}
        self.vms: tuple[Vm, ...] = ()
        self.version = 0
        self._store, self._told, self._unheard = store, told, unheard
        self._silent: set[str] = set()
        self._refreshed = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    async def use(self, settings: Settings, needed: Collection[str]) -> None:
        """Ask these endpoints from now on. Raises OSError for certificates that cannot be used.

        Args:
            settings: Name the endpoints.
            needed: Hosts that have consoles; those no longer named are leaving from now on.
        """
        context = client_context(settings)
        known, addresses = self._store.answers, dict(self._store.endpoints)
        old, self.hosts = {**self.leaving, **self.hosts}, {}
        self.leaving = {}
        for name, address in settings.endpoints.items():
            endpoint = Endpoint(name, address, context)
            answer = old[name].answer if name in old else known.get(name)
            self.hosts[name] = Host(endpoint, answer, settings.poll_interval)
            self._store.keep_endpoint(name, address)
        for name in set(addresses) - set(settings.endpoints):
            if name not in needed:
                self._store.forget_host(name)
            elif name in old:
                self.leaving[name] = old.pop(name)
            else:  # it has left while this service was away
                endpoint = Endpoint(name, addresses[name], context)
                self.leaving[name] = Host(endpoint, known.get(name), settings.poll_interval)
        self._merge()
        await _close(old.values())
        for host in self.leaving.values():
            host.left = host.left or time.monotonic()
            if host.poll:
                host.poll.cancel()
        for host in self.hosts.values():
            host.poll = asyncio.get_running_loop().create_task(self._poll(host))

    async def close(self) -> None:
        """Ask nobody any more."""
        await _close([*self.hosts.values(), *self.leaving.values()])

    def find(self, name: str) -> Host | None:
        """Return a host that can be asked: of the fleet, or leaving it."""
        return self.hosts.get(name) or self.leaving.get(name)

    async def drop(self, name: str) -> None:
        """Forget a host that was leaving."""
        await _close([self.leaving.pop(name)])
        self._store.forget_host(name)

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
        if host := self.find(name):
            await asyncio.shield(self._look(host))

    async def _look_at_all(self) -> None:
        looks = [self._look(host) for host in self.hosts.values()]
        if looks:
            await asyncio.wait(looks, timeout=_PATIENCE)

    async def _poll(self, host: Host) -> None:
        while True:
            try:
                await asyncio.shield(self._look(host))
            except Exception as error:  # it is asked again, whatever happens
                journal(
                    "failed", host=host.endpoint.host, reason=f"{type(error).__name__}: {error}"
                )
            await asyncio.sleep(host.pause)

    def _look(self, host: Host) -> asyncio.Task[None]:
        """Return the look at a host that is under way, or begin one."""
        if host.looking is None or host.looking.done():
            host.looking = asyncio.get_running_loop().create_task(self._ask(host))
        return host.looking

    async def _ask(self, host: Host) -> None:
        name = host.endpoint.host
        try:
            look = await host.endpoint.look()
        except SilentError as error:
            self._failed(host, str(error))
            if host.silent:
                self._unheard(name)
            return
        host.sessions = tuple(look.sessions)
        if look.fault:
            self._failed(host, look.fault)
        else:
            self._answered(host, look.vms)
        self._told(name, look)

    def _failed(self, host: Host, fault: str) -> None:
        """Note that a host has told of no VMs."""
        host.failures += 1
        if host.fault != fault:
            host.fault = fault
            journal("host-silent", host=host.endpoint.host, reason=fault)
        self.check()

    def _answered(self, host: Host, vms: tuple[Vm, ...]) -> None:
        """Note which VMs a host has told of."""
        name = host.endpoint.host
        if host.fault:
            journal("host-answers", host=name)
        host.failures, host.fault = 0, ""
        before, host.answer = host.answer, Answer(time.time(), vms)
        # The VMs of one that is leaving are the fleet's no more.
        changed = not host.left and (before is None or before.vms != vms)
        if changed or (not host.left and host.answer.at - host.kept > _KEPT_EVERY):
            self._store.keep_answer(name, host.answer)
            host.kept = host.answer.at
        if changed:
            self._merge()
        self.check()

    def check(self) -> None:
        """Look who has fallen silent, or speaks again."""
        if self._silent != {name for name, host in self.hosts.items() if host.silent}:
            self._merge()

    def _merge(self) -> None:
        answers = {name: host.answer.vms for name, host in self.hosts.items() if host.answer}
        self._silent = {name for name, host in self.hosts.items() if host.silent}
        vms = merge(answers, self._silent, {vm.uuid: vm.host for vm in self.vms})
        if vms != self.vms:
            self.vms = vms
            self.version += 1


async def _close(hosts: Iterable[Host]) -> None:
    for host in hosts:
        for task in (host.poll, host.looking):
            if task:
                task.cancel()
        await host.endpoint.close()
