# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The VMs of this host: looked up when somebody asks, and remembered while that is safe."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.process import PROC, still_runs
from ansible_collections.novnc.fleet.plugins.module_utils.units import CONSOLES_JSON
from ansible_collections.novnc.fleet.plugins.module_utils.vms import (
    Vm,
    VmsError,
    find_vm,
    find_vms,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_asked import Asked
from ansible_collections.novnc.fleet.plugins.module_utils.vms_qemu import qemu_command

_GOOD_FOR = 60.0
"""Seconds for which a look is believed: /proc does not tell of all that may take a name."""


@dataclass(frozen=True)
class _Look:
    """What there was to see.

    Attributes:
        vms: The host's VMs.
        seen: What lay in ``/proc`` just before, all processes among it.
        consoles: Which version of the typed consoles was in force just before.
        since: When it was, as `time.monotonic` has it.
    """

    vms: list[Vm]
    seen: frozenset[str]
    consoles: tuple[int, ...]
    since: float


class Finder:
    """Looks VMs up, one look at a time.

    Nobody is told what was true before they asked: who comes while a look is under way shares the
    next one. What the last look has seen of a VM is true as long as the VM's process runs; and
    under its name it is the only one as long as no process of QEMU has come, and nobody has typed
    another console.
    """

    def __init__(
        self, find: Callable[[], list[Vm]], *, consoles: str = CONSOLES_JSON, proc: str = PROC
    ) -> None:
        self._find = find
        self._consoles = consoles
        self._proc = proc
        self._looking = asyncio.Lock()
        self._next: asyncio.Task[list[Vm]] | None = None
        self._last: _Look | None = None

    async def vms(self) -> list[Vm]:
        """Return the host's VMs. Raises VmsError."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._look())
        return await asyncio.shield(self._next)

    def remembered(self, name_or_uuid: str) -> Vm | None:
        """Return a VM if another look would find the same; None where only a look can tell."""
        last = self._last
        if last is None or last.consoles != self._version():
            return None
        if time.monotonic() - last.since > _GOOD_FOR:
            return None
        try:
            vm = find_vm(last.vms, name_or_uuid)
        except VmsError:  # it may be the name of one only by now
            return None
        if vm is None or vm.state != "running" or not vm.displays or vm.process is None:
            return None
        if not still_runs(vm.process, self._proc) or self._qemu_has_come(last):
            return None
        return vm

    def forget(self) -> None:
        """Remember nothing: the next one who asks has it looked up."""
        self._last = None

    async def _look(self) -> list[Vm]:
        async with self._looking:
            self._next = None
            self._last = await asyncio.get_running_loop().run_in_executor(None, self._see)
            return self._last.vms

    def _see(self) -> _Look:
        consoles, seen = self._version(), frozenset(os.listdir(self._proc))
        since = time.monotonic()
        return _Look(self._find(), seen, consoles, since)

    def _qemu_has_come(self, last: _Look) -> bool:
        """Whether there is a process of QEMU that the last look has not seen."""
        for name in set(os.listdir(self._proc)) - last.seen:
            with suppress(OSError):  # it has ended
                if name.isdecimal() and qemu_command(int(name), self._proc):
                    return True
        return False

    def _version(self) -> tuple[int, ...]:
        """Return what changes whenever the typed consoles do."""
        try:
            file = os.stat(self._consoles)
        except OSError:
            return ()
        return file.st_ino, file.st_mtime_ns, file.st_size


def finder(host: str, qmp: dict[str, str], asked: Asked) -> Finder:
    """Return the finder of a host by its name in the inventory."""
    return Finder(lambda: find_vms(host, qmp, asked=asked))
