# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The sessions of all the endpoint's processes, told and ended over HTTP.

What gateways ask by TLS, root on the host asks at the newest process's unix socket. Below ``/own``
a process answers for itself alone; only others ask that.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from aiohttp import web

from novnc_endpoint.metrics import Process, process_now
from novnc_endpoint.others import Others
from novnc_endpoint.sessions import Facts, Sessions
from novnc_endpoint.visitor import ender_of

_BACKLOG = 64


class Control:
    """One process's knowledge of the sessions of all.

    Attributes:
        boot: Names the process, for as long as it lasts.
    """

    def __init__(self, directory: str, sessions: Sessions, read_settings: Callable[[], object]):
        """Prepare; ``read_settings`` brings the settings into force that stand in their file."""
        self.boot = secrets.token_hex(8)
        self._directory = directory
        self._sessions = sessions
        self._read_settings = read_settings
        self._others = Others(directory, self.boot)
        self._untold: list[Facts] = []
        self._telling = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Answer at a socket of our own, as the newest process. Raises OSError."""
        os.makedirs(self._directory, 0o700, exist_ok=True)
        application = web.Application()
        self.add_routes(application)
        application.router.add_get("/own", self._tell_own)
        application.router.add_delete("/own/{id}", self._end_own)
        application.router.add_post("/own/settings", self._take_settings)
        application.router.add_post("/ended", self._take_ended)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        listener = socket.socket(socket.AF_UNIX)
        # Under its name only once it listens: who finds nobody there takes it for stale.
        listener.bind(f"{self._others.path}.new")
        listener.listen(_BACKLOG)
        os.rename(f"{self._others.path}.new", self._others.path)
        await web.SockSite(runner, listener).start()
        self._others.become_main()
        self._sessions.inherit(self._others.left_behind())
        self.pass_on_settings()

    def hand_over(self) -> None:
        """Leave what has ended to the next process: gateways may not have heard of it yet."""
        if self._sessions.ended:
            self._others.leave_behind(list(self._sessions.ended))

    def close(self) -> None:
        """Be found no more."""
        if self._untold:
            self.hand_over()
        self._others.leave()

    def add_routes(self, application: web.Application) -> None:
        """Answer for all processes."""
        application.router.add_get("/sessions", self._list)
        application.router.add_get("/sessions/ended", self._list_ended)
        application.router.add_delete("/sessions/{id}", self._end)

    def leave(self) -> None:
        """See sessions off from now on: whoever is newest is told of their ends."""
        self._sessions.on_end = self._ended

    async def left(self) -> None:
        """Wait until the newest process has been told of everything, if there is one."""
        await self._tell_untold()

    async def processes(self) -> list[Process]:
        """Return the other processes."""
        # They are older than this one: whatever is added to it, they do not tell.
        told = await self._others.ask("GET", "/own")
        keys = ("sessions", "memory", "descriptors", "tasks")
        return [Process(*(one[key] for key in keys)) for one in told]

    def pass_on_settings(self) -> None:
        """Have the other processes read their settings anew."""
        self._do(self._others.ask("POST", "/own/settings"))

    async def _list(self, request: web.Request) -> web.Response:
        others = [one.sessions for one in await self.processes()]
        return web.json_response(sum(others, self._sessions.facts()))

    async def _list_ended(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdecimal()):
            raise web.HTTPBadRequest(text=f"after must be a number, not {after!r}\n")
        found = [one for one in self._sessions.ended if one["number"] > int(after)]
        return web.json_response(
            {"last": self._sessions.last, "boot": self.boot, "sessions": found}
        )

    async def _end(self, request: web.Request) -> web.Response:
        identity, ender = request.match_info["id"], ender_of(request)
        if not self._sessions.kill(identity, f"ended by {ender}"):
            path, headers = f"/own/{quote(identity, safe='')}", {"X-Console-User": ender}
            if not await self._others.ask("DELETE", path, **headers):
                raise web.HTTPNotFound(text="there is no such session\n")
        return web.Response(status=204)

    async def _tell_own(self, request: web.Request) -> web.Response:
        return web.json_response(process_now(self._sessions.facts())._asdict())

    async def _end_own(self, request: web.Request) -> web.Response:
        reason = f"ended by {ender_of(request)}"
        if not self._sessions.kill(request.match_info["id"], reason):
            raise web.HTTPNotFound(text="there is no such session\n")
        return web.json_response({})

    async def _take_settings(self, request: web.Request) -> web.Response:
        self._read_settings()
        self._do(self._tell_untold())
        return web.json_response({})

    async def _take_ended(self, request: web.Request) -> web.Response:
        self._sessions.keep(await request.json())
        return web.json_response({})

    def _ended(self, facts: Facts) -> None:
        self._untold.append(facts)
        self._do(self._tell_untold())

    async def _tell_untold(self) -> None:
        async with self._telling:
            while self._untold and not self._others.is_main:
                if not await self._others.tell_main("/ended", self._untold[0]):
                    return
                del self._untold[0]

    def _do(self, what: Any) -> None:
        task = asyncio.get_running_loop().create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
