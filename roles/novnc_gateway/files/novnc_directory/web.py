# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What visitors and nginx are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from novnc_directory import answers, pages, views
from novnc_directory.audit import journal
from novnc_directory.database import StoreError
from novnc_directory.openings import FullError, NoConsoleError, Openings
from novnc_directory.paths import path_of, vm_path
from novnc_directory.rights import Account
from novnc_directory.settings import Settings
from novnc_directory.visitors import Visitors, client
from novnc_directory.vms import Vm

_LONGEST_FORM = 16 * 1024

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Directory:
    """The web application on the socket that nginx speaks to."""

    def __init__(self, visitors: Visitors, openings: Openings) -> None:
        self._visitors, self._openings = visitors, openings
        self._paths: dict[str, dict[str, Handler]] = {
            "/": {"GET": self._portal},
            "/login": {"GET": visitors.form, "POST": visitors.log_in},
            "/logout": {"POST": visitors.log_out},
            "/consoles.json": {"GET": self._consoles},
            "/portal.json": {"GET": self._portal_json},
            "/healthz": {"GET": self._healthz},
            "/_authorize": {"GET": self._authorize},
        }

    def application(self) -> web.Application:
        """Return the application that answers."""
        found = web.Application(middlewares=[self._guard], client_max_size=_LONGEST_FORM)
        # Paths are told apart here alone, and raw.
        found.router.add_route("*", "/{path:.*}", self._answer)
        return found

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._openings.settings

    @web.middleware  # type: ignore[untyped-decorator]
    async def _guard(
        self, request: web.Request, handler: Callable[..., Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer in any case, by a page, and let nobody keep the answer."""
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            answer = answers.message(error.status, error.reason, "The request cannot be answered.")
        except StoreError:  # which the journal has been told of
            sentence = "The gateway cannot write down who comes in; its journal says why."
            answer = answers.message(503, "Not now", sentence)
        except Exception as error:
            journal("failed", path=request.path, reason=f"{type(error).__name__}: {error}")
            answer = answers.message(500, "Something is broken", "The gateway's journal says what.")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if (bare := vm_path(f"{path}/")) and not bare[1]:
            return answers.see_other(path_of(bare[0]))
        if path.startswith("/vm/"):
            return await self._vm(request, path)
        methods = self._paths.get(path)
        if methods is None:
            return answers.not_found()
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        return await handler(request) if handler else answers.not_allowed(methods)

    # Pages

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _portal(self, request: web.Request) -> web.Response:
        visitor = self._visitors.of(request)
        if not visitor:
            return answers.to_log_in(request)
        account = visitor[1]
        shown = self._shown(account)
        page = pages.portal_page(
            user=account.name, hosts=shown["hosts"], consoles=shown["consoles"]
        )
        return answers.html(200, page)

    async def _portal_json(self, request: web.Request) -> web.Response:
        visitor = self._visitors.of(request, uses=False)  # the page asks by itself
        return web.json_response(self._shown(visitor[1])) if visitor else answers.log_in_first()

    def _shown(self, account: Account) -> dict[str, Any]:
        """Return what the portal shows."""
        viewers = self._openings.viewers()
        consoles = [views.with_viewers(one, viewers) for one in self._told(account, gateway="")]
        return {
            "user": account.name,
            "hosts": [
                views.host(name, *self._age(name)) for name in self._hosts(account, consoles)
            ],
            "consoles": consoles,
        }

    def _hosts(self, account: Account, consoles: list[dict[str, Any]]) -> list[str]:
        """Return the hosts of some consoles; to admins those that have none, too."""
        if self.settings.rights.is_admin(account):
            return sorted(self._openings.fleet.hosts)
        return sorted({one["host"] for one in consoles})

    async def _consoles(self, request: web.Request) -> web.Response:
        visitor = self._visitors.of(request)
        if not visitor:
            return answers.log_in_first()
        return web.json_response(self._told(visitor[1], gateway=self.settings.names[0]))

    def _told(self, account: Account, *, gateway: str) -> list[dict[str, str]]:
        listing, may = self._openings.listing(account), self._openings.may
        if gateway not in listing.told:
            listing.told[gateway] = [
                views.console(vm, listing, may(account, vm), gateway) for vm in listing.vms
            ]
        return listing.told[gateway]

    def _age(self, name: str) -> tuple[float | None, bool]:
        """Return how old a host's last answer is, and whether it is silent."""
        host = self._openings.fleet.hosts.get(name)
        return (host.age, host.silent) if host else (None, True)

    # One console

    async def _vm(self, request: web.Request, path: str) -> web.Response:
        """Answer below ``/vm/``: nobody learns here of a VM that they may not see."""
        by_itself = path.endswith("/state.json")  # the page asks, not a person
        visitor = self._visitors.of(request, uses=not by_itself)
        if not visitor:
            return answers.log_in_first() if by_itself else answers.to_log_in(request)
        account, (segment, rest) = visitor[1], vm_path(path) or ("", "nothing")
        views_of = {"": self._console, "state.json": self._state}
        if rest not in views_of:
            return answers.not_found()
        if by_itself:
            found = self._openings.listing(account).find(segment)
        else:
            found = await self._openings.find(account, segment)
        if not found:
            return answers.not_found()
        if request.method not in ("GET", "HEAD"):
            return answers.not_allowed(["GET"])
        if len(found) > 1:
            return self._several(account, found)
        return views_of[rest](account, found[0])

    def _console(self, account: Account, vm: Vm) -> web.Response:
        listing, may = self._openings.listing(account), self._openings.may(account, vm)
        console = views.console(vm, listing, may)
        return answers.html(200, pages.console_page(console=console, novnc=self.settings.novnc))

    def _several(self, account: Account, found: list[Vm]) -> web.Response:
        listing = self._openings.listing(account)
        names = ", ".join(listing.segment(vm) for vm in found)
        sentence = f"Several VMs have this name; the address may end in one of: {names}."
        return answers.message(404, "Which one?", sentence)

    def _state(self, account: Account, vm: Vm) -> web.Response:
        sentence = views.sentence(vm, *self._age(vm.host)) or self._openings.full(account, vm)
        told = {
            "vm": vm.name,
            "host": vm.host,
            "title": vm.title,
            "state": vm.state,
            "may": self._openings.may(account, vm),
            "sentence": sentence,
        }
        return web.json_response(told)

    async def _authorize(self, request: web.Request) -> web.Response:
        """Tell nginx whether a WebSocket may be opened, and where it leads."""
        asked = vm_path(request.headers.get("X-Original-URI", ""))
        visitor = self._visitors.of(request)
        if not visitor:
            return web.Response(status=401)
        if not self._visitors.is_ours(request) or asked is None or asked[1] != "websockify":
            return answers.refused("none")
        login, account = visitor
        try:
            console = await self._openings.open(login, account, asked[0], client(request))
        except NoConsoleError:
            return answers.refused("none")
        except FullError:
            return answers.refused("full")
        headers = {
            "X-Console-Endpoint": console.host,
            "X-Console-Vm": console.uuid,
            "X-Console-User": console.user,
            "X-Console-Mode": console.mode,
            "X-Console-Session": console.id,
        }
        return web.Response(status=204, headers=headers)
