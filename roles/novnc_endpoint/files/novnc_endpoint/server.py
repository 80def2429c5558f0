# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The process: its listener, its certificates, and what it leaves to the next one.

systemd holds the listener (``novnc-endpoint.socket``). On SIGHUP settings and certificates are
read anew. On SIGTERM the process stops listening and, where there are sessions, goes on as a child
of itself: for systemd the service has stopped (``KillMode=process``) and the next one can start,
while the sessions stay with the program that they were opened by. SIGINT, or a second SIGTERM,
ends the sessions.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import cast

from aiohttp import web

from novnc_endpoint.arrivals import Arrivals
from novnc_endpoint.control import Control
from novnc_endpoint.session import GOING_AWAY
from novnc_endpoint.sessions import Sessions, journal
from novnc_endpoint.settings import Settings, read_settings
from novnc_endpoint.tls import server_context
from novnc_endpoint.web import Endpoint

_FIRST_DESCRIPTOR = 3  # sd_listen_fds(3)
_ASKING_TIME = 2.0
"""Seconds that who has just come has for a request when the process is told to stop."""
_SETTLING_TIME = 5.0
"""Seconds for requests under way when the process is told to stop."""
_LAST_WORDS = 1.0
"""Seconds for what has been said last to be sent."""


class Server:
    """The endpoint as a process."""

    def __init__(self, settings_file: str) -> None:
        self._file = settings_file
        settings = read_settings(settings_file)
        self._sessions = Sessions(settings.limits, settings.max_sessions_per_vm)
        self._control = Control(settings.control, self._sessions, self._read_settings)
        self._endpoint = Endpoint(settings, self._sessions, self._control)
        self._runner = web.AppRunner(self._endpoint.application(), access_log=None)
        self._arrivals = Arrivals(
            socket.socket(fileno=_FIRST_DESCRIPTOR),
            self._protocol,
            server_context(settings.cert, settings.key, settings.ca),
        )
        self._endpoint.asked = self._arrivals.asked
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Serve until told to stop; what is under way then is seen to its end, if that is near.

        Raises OSError.
        """
        await self._runner.setup()
        await self._control.open()
        self._arrivals.open()
        self._listen_to_signals()
        notify("READY=1")
        await self._stopping.wait()
        await self._arrivals.close(_ASKING_TIME)
        await self._runner.server.shutdown(_SETTLING_TIME)
        await self._endpoint.settled(_SETTLING_TIME)
        self._control.hand_over()

    async def see_sessions_off(self) -> None:
        """Wait until the last session has ended and its visitor has been told."""
        self._listen_to_signals()
        self._control.leave()
        await self._sessions.none_left()
        await asyncio.sleep(_LAST_WORDS)
        await self._control.left()
        self.close()

    def close(self) -> None:
        """Leave nothing behind."""
        self._control.close()

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    def _protocol(self) -> asyncio.BaseProtocol:
        """Return what speaks HTTP on one connection."""
        return cast(asyncio.BaseProtocol, self._runner.server())

    def _listen_to_signals(self) -> None:
        """Do what the signals say, in this process."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._end_sessions)
        # A container's first process starts us with it blocked, as it would end us until here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _reload(self) -> None:
        """Read everything anew.

        A certificate that is of no use is no reason to believe a name any longer that has been
        taken off the list.
        """
        settings = self._read_settings()
        if settings is None:
            return
        self._control.pass_on_settings()
        try:
            self._arrivals.context = server_context(settings.cert, settings.key, settings.ca)
        except OSError as error:
            _reload_failed(error)
            return
        journal("reloaded")

    def _read_settings(self) -> Settings | None:
        """Bring into force what stands in the file, and return it; None if it is of no use."""
        try:
            settings = read_settings(self._file)
        except (OSError, ValueError, KeyError) as error:
            _reload_failed(error)
            return None
        self._endpoint.use(settings)
        return settings

    def _stop(self) -> None:
        if self._stopping.is_set():
            self._end_sessions()
        self._stopping.set()

    def _end_sessions(self) -> None:
        self._stopping.set()
        for session in self._sessions:
            session.end(GOING_AWAY, "the endpoint has been stopped")


def _reload_failed(error: Exception) -> None:
    journal("reload-failed", reason=f"{type(error).__name__}: {error}")


def notify(state: str) -> None:
    """Tell systemd (sd_notify(3)); nothing happens where it does not listen."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.send(state.encode())
