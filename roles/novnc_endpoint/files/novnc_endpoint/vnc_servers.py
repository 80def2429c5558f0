# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The way to a VM's VNC server."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, UnixTarget
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Vm

_CONNECT_TIMEOUT = 10.0
_QUEUE_PAUSE = 0.02
"""Seconds between tries to get into the queue of a unix socket."""


class NoConsoleError(Exception):
    """There is no console to show; the message is a sentence for whoever wants to see it."""


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
