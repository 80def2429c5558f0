# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The process: its sockets, its settings, its end.

systemd holds the socket that nginx speaks to (``novnc-directory.socket``). On SIGHUP settings,
accounts and certificates are read anew. Consoles are carried by nginx: they live on while this
process does not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket

from aiohttp import web

from novnc_directory.accounts import Accounts
from novnc_directory.audit import journal
from novnc_directory.consoles import Consoles
from novnc_directory.control import Control
from novnc_directory.metrics import Metrics
from novnc_directory.openings import Openings
from novnc_directory.settings import read_settings
from novnc_directory.store import Store
from novnc_directory.visitors import Visitors
from novnc_directory.web import Directory

_FIRST_DESCRIPTOR = 3  # sd_listen_fds(3)
_BACKLOG = 1024


class Server:
    """The directory as a process."""

    def __init__(self, settings_file: str) -> None:
        """Read what is written. Raises OSError, ValueError, KeyError, TypeError, sqlite3.Error."""
        self._file = settings_file
        self._settings = read_settings(settings_file)
        self._store = Store(self._settings.state)
        self._accounts = Accounts(self._settings.accounts)
        self._consoles = Consoles(self._settings, self._store, self._accounts.get)
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()

    async def serve(self) -> None:
        """Serve until told to stop. Raises OSError."""
        openings = Openings(self._consoles, self._store, self._accounts.get)
        visitors = Visitors(self._store, self._accounts, self._consoles)
        directory = Directory(visitors, openings)
        metrics = Metrics(visitors, self._consoles)
        control = Control(self._accounts, self._consoles)
        await self._consoles.use(self._settings)
        runners = [
            await _runner(directory.application()),
            await _runner(metrics.application()),
            await _runner(control.application()),
        ]
        sites = [
            web.SockSite(runners[0], socket.socket(fileno=_FIRST_DESCRIPTOR), backlog=_BACKLOG),
            web.TCPSite(runners[1], *self._settings.metrics),
            web.UnixSite(runners[2], self._settings.control),
        ]
        for site in sites:
            await site.start()
        # It would tell the journal of each request that is none, at the visitor's pleasure.
        logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        # A container's first process starts us with it blocked, as it would end us until here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        watch = loop.create_task(self._consoles.watch())
        notify("READY=1")
        await asyncio.wait(
            {watch, loop.create_task(self._stopping.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
        if watch.done():
            watch.result()  # without it nothing would end: let systemd start anew
        watch.cancel()
        for runner in runners:
            await runner.cleanup()
        await self._consoles.fleet.close()
        self._store.close()

    def _reload(self) -> None:
        asyncio.get_running_loop().create_task(self._read_anew())

    async def _read_anew(self) -> None:
        async with self._reloading:
            try:
                settings = read_settings(self._file)
                self._accounts.use(settings.accounts)
                await self._consoles.use(settings)
            except (OSError, ValueError, KeyError, TypeError) as error:
                journal("reload-failed", reason=f"{type(error).__name__}: {error}")
                return
            journal("reloaded")


async def _runner(application: web.Application) -> web.AppRunner:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    return runner


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing happens where it does not listen."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.send(state.encode())
