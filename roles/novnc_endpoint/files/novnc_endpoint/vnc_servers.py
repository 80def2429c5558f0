# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The VMs of this host, looked up when somebody asks, and the way to their VNC servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, UnixTarget
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Vm, find_vms

_CONNECT_TIMEOUT = 10.0
_QUEUE_PAUSE = 0.02
"""Seconds between tries to get into the queue of a unix socket."""


class NoConsoleError(Exception):
    """There is no console to show; the message is a sentence for whoever wants to see it."""


class Finder:
    """Looks VMs up, one look at a time.

    Nobody is told what was true before they asked: who comes while a look is under way shares the
    next one.
    """

    def __init__(self, find: Callable[[], list[Vm]]) -> None:
        self._find = find
        self._looking = asyncio.Lock()
        self._next: asyncio.Task[list[Vm]] | None = None

    async def vms(self) -> list[Vm]:
        """Return the host's VMs. Raises VmsError."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._look())
        return await asyncio.shield(self._next)

    async def _look(self) -> list[Vm]:
        async with self._looking:
            self._next = None
            return await asyncio.get_running_loop().run_in_executor(None, self._find)


def finder(host: str, qmp: dict[str, str]) -> Finder:
    """Return the finder of a host by its name in the inventory."""
    return Finder(lambda: find_vms(host, qmp))


def target_of(vm: Vm) -> TcpTarget | UnixTarget:
    """Return where a VM's VNC server is. Raises NoConsoleError."""
    if vm.state == "off":
        raise NoConsoleError(f"{vm.name} is switched off")
    if not vm.displays:
        raise NoConsoleError(f"{vm.name} has no VNC display")
    return vm.displays[0].target


async def connect(vm: Vm, end: asyncio.BaseProtocol) -> None:
    """Connect a protocol to a VM's VNC server. Raises NoConsoleError."""
    target = target_of(vm)
    try:
        await asyncio.wait_for(_connect(target, end), _CONNECT_TIMEOUT)
    except (asyncio.TimeoutError, TimeoutError):
        raise NoConsoleError(f"the VNC server of {vm.name} does not answer") from None
    except OSError as error:
        raise NoConsoleError(
            f"the VNC server of {vm.name} cannot be reached: {error.strerror or error}"
        ) from error


async def _connect(target: TcpTarget | UnixTarget, end: asyncio.BaseProtocol) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(target, TcpTarget):
        await loop.create_connection(lambda: end, target.host, target.port)
        return
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        while True:
            # asyncio takes a full queue (QEMU's holds one) for a connection under way.
            with suppress(BlockingIOError):
                sock.connect(target.path)
                break
            await asyncio.sleep(_QUEUE_PAUSE)
        await loop.create_unix_connection(lambda: end, sock=sock)
    except BaseException:
        sock.close()
        raise
