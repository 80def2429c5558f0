# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What root may ask, on a socket of its own: an account for checks, and who looks at what."""

from __future__ import annotations

from aiohttp import web

from novnc_directory.accounts import Accounts, BusyError
from novnc_directory.audit import about, journal
from novnc_directory.consoles import Consoles


class Control:
    """The web application on the control socket."""

    def __init__(self, accounts: Accounts, consoles: Consoles) -> None:
        self._accounts, self._consoles = accounts, consoles

    def application(self) -> web.Application:
        """Return the application that answers."""
        found = web.Application()
        found.router.add_post("/account", self._make)
        found.router.add_delete("/account/{name}", self._remove)
        found.router.add_get("/sessions", self._sessions)
        return found

    async def _make(self, request: web.Request) -> web.Response:
        try:
            name, password = await self._accounts.make_passing()
        except BusyError:
            raise web.HTTPServiceUnavailable(
                text="too many passwords wait to be checked\n"
            ) from None
        journal("account-made", user=name)
        return web.json_response({"name": name, "password": password}, status=201)

    async def _remove(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not self._accounts.remove_passing(name):
            raise web.HTTPNotFound(text="there is no such account\n")
        journal("account-removed", user=name)
        self._consoles.sweep()
        return web.Response(status=204)

    async def _sessions(self, request: web.Request) -> web.Response:
        return web.json_response([about(console) for console in self._consoles])
