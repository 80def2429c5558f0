# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the endpoint answers over HTTP, and to whom."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from aiohttp import web
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Vm, VmsError, find_vm

from novnc_endpoint.finder import finder
from novnc_endpoint.gate import Gate
from novnc_endpoint.metrics import exposition
from novnc_endpoint.session import INTERNAL, Session, Visitor
from novnc_endpoint.sessions import FullError, Sessions, about, journal, measured
from novnc_endpoint.settings import Settings
from novnc_endpoint.tls import certificate_names
from novnc_endpoint.upgrade import HandOver, handshake_fault
from novnc_endpoint.vnc_servers import NoConsoleError, connect

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MODES = ("control", "watch")
_MAX_HEADER = 255
"""Characters of a name or address that are taken from a gateway's header."""


class Endpoint:
    """The web application.

    Attributes:
        asked: Is told of each request whose connection it came by.
    """

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self.asked: Callable[[asyncio.BaseProtocol], None] = lambda _protocol: None
        self._sessions = sessions
        self._refusals: Counter[int] = Counter()
        self._connecting: set[asyncio.Task[None]] = set()
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Have other settings in force; who is no longer allowed in is sent away."""
        self._settings = settings
        self._finder = finder(settings.host, settings.qmp)
        self._sessions.limits = settings.limits
        self._sessions.per_vm = settings.max_sessions_per_vm
        self._sessions.expel(settings.allowed_names)

    def application(self) -> web.Application:
        """Return the application that answers."""
        found = web.Application(middlewares=[self._guard])
        found.router.add_get("/healthz", self._healthz)
        found.router.add_get("/consoles.json", self._consoles)
        found.router.add_get("/metrics", self._metrics)
        found.router.add_get("/sessions", self._list)
        found.router.add_delete("/sessions/{id}", self._kill)
        found.router.add_get("/vm/{vm}/websockify", self._open)
        return found

    @web.middleware  # type: ignore[untyped-decorator]
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let only gateways in, and no page at all."""
        self.asked(request.protocol)
        try:
            self._check_caller(request)
            return await handler(request)
        except VmsError as error:
            return self._refuse(request, web.HTTPServiceUnavailable(text=f"{error}\n"))
        except web.HTTPException as refusal:
            return self._refuse(request, refusal)

    def _check_caller(self, request: web.Request) -> None:
        transport = request.transport
        peercert = transport.get_extra_info("peercert") if transport else None
        names = certificate_names(peercert or {})
        if not names & self._settings.allowed_names:
            shown = ", ".join(sorted(names)) or "no name"
            raise web.HTTPForbidden(text=f"the certificate of {shown} is not on the list\n")
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="pages are served by the gateway, not from here\n")
        request["names"] = names

    def _refuse(self, request: web.Request, refusal: web.HTTPException) -> web.Response:
        self._refusals[refusal.status] += 1
        journal(
            "refused",
            path=request.path,
            client=request.remote,
            status=refusal.status,
            reason=(refusal.text or "").strip(),
        )
        return web.Response(status=refusal.status, text=refusal.text)

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _consoles(self, request: web.Request) -> web.Response:
        return web.json_response([self._console(vm) for vm in await self._finder.vms()])

    def _console(self, vm: Vm) -> dict[str, str]:
        websocket = f"wss://{self._settings.address}/vm/{quote(vm.uuid, safe='')}/websockify"
        return {
            "host": self._settings.host,
            "vm": vm.name,
            "uuid": vm.uuid,
            "title": vm.title,
            "state": vm.state,
            "url": "",
            "websocket": websocket,
            "may": "control",
        }

    async def _metrics(self, request: web.Request) -> web.Response:
        text = exposition(list(self._sessions), self._sessions.totals, self._refusals)
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response([{**about(one), **measured(one)} for one in self._sessions])

    async def _kill(self, request: web.Request) -> web.Response:
        user = _said(request, "X-Console-User") or "an administrator"
        if not self._sessions.kill(request.match_info["id"], f"ended by {user}"):
            raise web.HTTPNotFound(text="there is no such session\n")
        return web.Response(status=204)

    async def _open(self, request: web.Request) -> web.StreamResponse:
        visitor = _visitor(request)
        if fault := handshake_fault(request):
            raise web.HTTPBadRequest(text=f"{fault}\n")
        name = request.match_info["vm"]
        remembered = self._finder.remembered(name)
        vm, broken = remembered, ""
        try:
            vm = vm or await self._look_up(name)
        except VmsError as error:
            broken = str(error)
        except NoConsoleError as error:
            raise web.HTTPNotFound(text=f"{error}\n") from None
        try:
            session = self._sessions.begin(vm.name if vm else name, vm.uuid if vm else "", visitor)
        except FullError as error:
            raise web.HTTPServiceUnavailable(text=f"{error}\n") from None
        session.on_refusal = self._finder.forget
        connecting = asyncio.get_running_loop().create_task(
            self._connect(session, vm, broken, remembered=remembered is not None)
        )
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        return HandOver(session.client)

    async def settled(self) -> None:
        """Wait until every session has reached its VM or been told why not."""
        if self._connecting:
            await asyncio.wait(self._connecting)

    async def _look_up(self, name: str) -> Vm:
        """Return a VM as it is now. Raises NoConsoleError where there is none, and VmsError."""
        vm = find_vm(await self._finder.vms(), name)
        if vm is None:
            raise NoConsoleError(f"there is no VM {name!r} on this host")
        return vm

    async def _connect(
        self, session: Session, vm: Vm | None, broken: str, *, remembered: bool
    ) -> None:
        """Bring a session to its VM, or tell why that cannot be."""
        try:
            if vm is None:
                raise NoConsoleError(broken)
            try:
                await self._reach(session, vm)
            except NoConsoleError:
                if not remembered:
                    raise
                await self._reach(session, await self._look_up(session.uuid))
        except (NoConsoleError, VmsError) as error:
            session.refuse(str(error))
        except Exception as error:
            session.end(INTERNAL, f"the endpoint failed: {type(error).__name__}: {error}")
            raise

    async def _reach(self, session: Session, vm: Vm) -> None:
        """Connect a session to where its VM is shown. Raises NoConsoleError."""
        if session.reason:
            return
        server_end = session.server_end(Gate(session.visitor.mode, vm.expect_name))
        await connect(vm, server_end)
        if session.reason:  # it has ended meanwhile
            server_end.abort()


def _visitor(request: web.Request) -> Visitor:
    """Return who comes, as the gateway says. Raises HTTPForbidden."""
    user, client = _said(request, "X-Console-User"), _said(request, "X-Console-Client")
    mode = _said(request, "X-Console-Mode")
    if not user:
        raise web.HTTPForbidden(text="the header X-Console-User must say who comes\n")
    if mode not in MODES:
        raise web.HTTPForbidden(text=f"the header X-Console-Mode must be {' or '.join(MODES)}\n")
    return Visitor(user, client, mode, request["names"])


def _said(request: web.Request, header: str) -> str:
    """Return what the gateway says in a header; empty without it.

    Raises HTTPForbidden where it stands there twice (one may be the visitor's own), is too long,
    or is no text.
    """
    found = request.headers.getall(header, [])
    # aiohttp keeps what is not UTF-8 as surrogates, which cannot be printed.
    if len(found) > 1 or any(len(one) > _MAX_HEADER or not one.isprintable() for one in found):
        raise web.HTTPForbidden(text=f"the header {header} must be one line of UTF-8\n")
    return str(found[0]) if found else ""
