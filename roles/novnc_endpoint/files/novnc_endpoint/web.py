# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the endpoint answers over HTTP, and to whom."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from aiohttp import web
from ansible_collections.novnc.fleet.plugins.module_utils.process import still_runs
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Vm, VmsError, find_vm
from ansible_collections.novnc.fleet.plugins.module_utils.vms_asked import Asked

from novnc_endpoint.control import Control
from novnc_endpoint.finder import finder
from novnc_endpoint.gate import Gate
from novnc_endpoint.metrics import exposition, process_now
from novnc_endpoint.session import INTERNAL, Session
from novnc_endpoint.sessions import FullError, Sessions, TakenError, journal
from novnc_endpoint.settings import Settings
from novnc_endpoint.tls import certificate_names, has_ended
from novnc_endpoint.upgrade import HandOver, handshake_fault
from novnc_endpoint.visitor import session_of, visitor_of
from novnc_endpoint.vnc_servers import NoConsoleError, connect

_RETRY_AFTER = "60"
"""Seconds, where a VM has all its visitors. By that a check tells it from a fault."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """The web application.

    Attributes:
        asked: Is told of each request whose connection it came by.
    """

    def __init__(self, settings: Settings, sessions: Sessions, control: Control) -> None:
        self.asked: Callable[[asyncio.BaseProtocol], None] = lambda _protocol: None
        self._sessions = sessions
        self._control = control
        self._refusals: Counter[int] = Counter()
        self._connecting: set[asyncio.Task[None]] = set()
        self._asked = Asked()
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Have other settings in force; who is no longer allowed in is sent away."""
        self._settings = settings
        self._finder = finder(settings.host, settings.qmp, self._asked)
        self._sessions.limits = settings.limits
        self._sessions.per_vm = settings.max_sessions_per_vm
        self._sessions.expel(settings.allowed_names)

    def application(self) -> web.Application:
        """Return the application that answers."""
        found = web.Application(middlewares=[self._guard])
        found.router.add_get("/healthz", self._healthz)
        found.router.add_get("/consoles.json", self._consoles)
        found.router.add_get("/metrics", self._metrics)
        self._control.add_routes(found)
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
        except FullError as error:
            answer = self._refuse(request, web.HTTPServiceUnavailable(text=f"{error}\n"))
            answer.headers["Retry-After"] = _RETRY_AFTER
            return answer
        except web.HTTPException as refusal:
            return self._refuse(request, refusal)

    def _check_caller(self, request: web.Request) -> None:
        transport = request.transport
        peercert = transport.get_extra_info("peercert") if transport else None
        names = certificate_names(peercert or {})
        self._check_name(names)
        if peercert and has_ended(peercert, time.time()):
            raise web.HTTPForbidden(text="the certificate has ended since the last visit\n")
        if "Origin" in request.headers:
            raise web.HTTPForbidden(text="pages are served by the gateway, not from here\n")
        request["names"] = names

    def _check_name(self, names: frozenset[str]) -> None:
        if not names & self._settings.allowed_names:
            shown = ", ".join(sorted(names)) or "no name"
            raise web.HTTPForbidden(text=f"the certificate of {shown} is not on the list\n")

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
        processes = [process_now(self._sessions.facts()), *await self._control.processes()]
        text = exposition(processes, self._sessions.totals, self._refusals)
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _open(self, request: web.Request) -> web.StreamResponse:
        visitor, identity = visitor_of(request, request["names"]), session_of(request)
        if fault := handshake_fault(request):
            raise web.HTTPBadRequest(text=f"{fault}\n")
        name = request.match_info["vm"]
        elsewhere = [one for other in await self._control.processes() for one in other.sessions]
        remembered = self._finder.remembered(name)
        vm, broken = remembered, ""
        try:
            vm = vm or await self._look_up(name)
        except VmsError as error:
            broken = str(error)
        except NoConsoleError as error:
            raise web.HTTPNotFound(text=f"{error}\n") from None
        # The list may have changed while the VM was looked up; from here on nothing is waited for.
        self._check_name(request["names"])
        called, uuid = (vm.name, vm.uuid) if vm else (name, "")
        try:
            session = self._sessions.begin(called, uuid, visitor, identity, elsewhere)
        except TakenError as error:
            raise web.HTTPConflict(text=f"{error}\n") from None
        session.on_refusal = self._finder.forget
        connecting = asyncio.get_running_loop().create_task(
            self._connect(session, vm, broken, remembered=remembered is not None)
        )
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        return HandOver(session.client)

    async def settled(self, patience: float) -> None:
        """Wait until every session has reached its VM or been told why not, for so many seconds."""
        if not self._connecting:
            return
        _done, late = await asyncio.wait(self._connecting, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _look_up(self, name_or_uuid: str, called: str = "") -> Vm:
        """Return a VM as it is now; ``called`` is its name for people.

        Raises NoConsoleError where there is none, and VmsError.
        """
        vm = find_vm(await self._finder.vms(), name_or_uuid)
        if vm is None:
            raise NoConsoleError(f"there is no VM {called or name_or_uuid!r} on this host")
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
                await self._reach(session, await self._look_up(session.uuid, session.vm))
        except (NoConsoleError, VmsError) as error:
            session.refuse(str(error))
        except asyncio.CancelledError:
            session.refuse(f"the endpoint is being restarted before {session.vm} has answered")
            raise
        except Exception as error:
            session.end(INTERNAL, f"the endpoint failed: {type(error).__name__}: {error}")
            raise

    async def _reach(self, session: Session, vm: Vm) -> None:
        """Connect a session to where its VM is shown. Raises NoConsoleError."""
        if session.reason:
            return
        server_end = session.server_end(Gate(session.visitor.mode, vm.expect_name))
        try:
            await connect(vm, server_end)
        except NoConsoleError:
            self._asked.forget(vm.name)
            raise
        # It has ended meanwhile, or its VM has, and who listens there now is another's.
        if session.reason or not (vm.process is None or still_runs(vm.process)):
            server_end.abort()
