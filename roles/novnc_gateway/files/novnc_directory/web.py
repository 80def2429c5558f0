# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What visitors and nginx are answered."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, quote

from aiohttp import web

from novnc_directory import pages, views
from novnc_directory.accounts import Accounts
from novnc_directory.audit import journal
from novnc_directory.openings import FullError, NoConsoleError, Openings
from novnc_directory.paths import local_path, path_of, vm_path
from novnc_directory.rights import Account
from novnc_directory.settings import Settings
from novnc_directory.store import Login, Store, login_id
from novnc_directory.throttle import Throttle
from novnc_directory.vms import Vm

COOKIE = "novnc_fleet_session"
_LONGEST_FORM = 16 * 1024
_LONGEST_NAME = 255

Visitor = tuple[Login, Account]
Handler = Callable[[web.Request], Awaitable[web.Response]]


class Directory:
    """The web application on the socket that nginx speaks to.

    Attributes:
        logins: Log-ins tried since the start, by what came of them.
    """

    def __init__(self, store: Store, accounts: Accounts, openings: Openings) -> None:
        self.logins: Counter[str] = Counter()
        self._store, self._accounts, self._openings = store, accounts, openings
        self._throttle = Throttle()
        self._paths: dict[str, dict[str, Handler]] = {
            "/": {"GET": self._portal},
            "/login": {"GET": self._login_form, "POST": self._log_in},
            "/logout": {"POST": self._log_out},
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
            answer = _message(error.status, error.reason, "The request cannot be answered.")
        except Exception as error:
            journal("failed", path=request.path, reason=f"{type(error).__name__}: {error}")
            answer = _message(500, "Something is broken", "The gateway's journal says what.")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.raw_path.partition("?")[0]
        if (bare := vm_path(f"{path}/")) and not bare[1]:
            return _see_other(path_of(bare[0]))
        if path.startswith("/vm/"):
            return await self._vm(request, path)
        methods = self._paths.get(path)
        if methods is None:
            return _not_found()
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        return await handler(request) if handler else _not_allowed(methods)

    def _visitor(self, request: web.Request, *, uses: bool = True) -> Visitor | None:
        """Return who has logged in; ``uses`` keeps the log-in from becoming idle."""
        token = request.cookies.get(COOKIE, "")
        login = self._store.login(login_id(token)) if token else None
        account = self._accounts.get(login.user) if login else None
        if not (login and account) or self._openings.is_over(login, account):
            return None
        if uses:
            self._store.touch(login, time.time())
        return login, account

    # Pages

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _portal(self, request: web.Request) -> web.Response:
        visitor = self._visitor(request)
        if not visitor:
            return _to_log_in(request)
        account = visitor[1]
        shown = self._shown(account)
        page = pages.portal_page(
            user=account.name, hosts=shown["hosts"], consoles=shown["consoles"]
        )
        return _html(200, page)

    async def _portal_json(self, request: web.Request) -> web.Response:
        visitor = self._visitor(request, uses=False)  # the page asks by itself
        return web.json_response(self._shown(visitor[1])) if visitor else _log_in_first()

    def _shown(self, account: Account) -> dict[str, Any]:
        """Return what the portal shows."""
        viewers = self._openings.viewers()
        consoles = [views.with_viewers(one, viewers) for one in self._told(account, gateway="")]
        return {
            "user": account.name,
            "hosts": [
                views.host(name, *self._age(name)) for name in {one["host"]: 0 for one in consoles}
            ],
            "consoles": consoles,
        }

    async def _consoles(self, request: web.Request) -> web.Response:
        visitor = self._visitor(request)
        if not visitor:
            return _log_in_first()
        return web.json_response(self._told(visitor[1], gateway=self.settings.names[0]))

    def _told(self, account: Account, *, gateway: str) -> list[dict[str, str]]:
        listing, may = self._openings.listing(account), self._openings.may
        return [views.console(vm, listing, may(account, vm), gateway) for vm in listing.vms]

    def _age(self, name: str) -> tuple[float | None, bool]:
        """Return how old a host's last answer is, and whether it is silent."""
        host = self._openings.fleet.hosts.get(name)
        return (host.age, host.silent) if host else (None, True)

    # One console

    async def _vm(self, request: web.Request, path: str) -> web.Response:
        """Answer below ``/vm/``: nobody learns here of a VM that they may not see."""
        by_itself = path.endswith("/state.json")  # the page asks, not a person
        visitor = self._visitor(request, uses=not by_itself)
        if not visitor:
            return _log_in_first() if by_itself else _to_log_in(request)
        account, (segment, rest) = visitor[1], vm_path(path) or ("", None)
        answers = {"": self._console, "state.json": self._state}
        found = await self._openings.find(account, segment) if rest in answers else []
        if not found or rest is None:
            return _not_found()
        if request.method not in ("GET", "HEAD"):
            return _not_allowed(["GET"])
        return (
            answers[rest](account, found[0]) if len(found) == 1 else self._several(account, found)
        )

    def _console(self, account: Account, vm: Vm) -> web.Response:
        listing, may = self._openings.listing(account), self._openings.may(account, vm)
        console = views.console(vm, listing, may)
        return _html(200, pages.console_page(console=console, novnc=self.settings.novnc))

    def _several(self, account: Account, found: list[Vm]) -> web.Response:
        listing = self._openings.listing(account)
        names = ", ".join(listing.segment(vm) for vm in found)
        sentence = f"Several VMs have this name; the address may end in one of: {names}."
        return _message(404, "Which one?", sentence)

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
        visitor = self._visitor(request)
        if not visitor:
            return web.Response(status=401)
        if not self._is_ours(request) or asked is None or asked[1] != "websockify":
            return _refused("none")
        login, account = visitor
        try:
            console = await self._openings.open(login, account, asked[0], _client(request))
        except NoConsoleError:
            return _refused("none")
        except FullError:
            return _refused("full")
        headers = {
            "X-Console-Endpoint": console.host,
            "X-Console-Vm": console.uuid,
            "X-Console-User": console.user,
            "X-Console-Mode": console.mode,
            "X-Console-Session": console.id,
        }
        return web.Response(status=204, headers=headers)

    # Log-in

    async def _login_form(self, request: web.Request) -> web.Response:
        goal = local_path(request.query.get("next", "/"))
        if self._visitor(request):
            return _see_other(goal)
        return _html(200, pages.login_page(error="", next=goal))

    async def _log_in(self, request: web.Request) -> web.Response:
        if not self._is_ours(request):
            return _foreign()
        form = await _form(request)
        name, goal = form.get("username", ""), local_path(form.get("next", "/"))
        client, now = _client(request), time.monotonic()
        attempt = self._throttle.begin(client, name, now)
        if attempt.wait:
            self.logins["waited"] += 1
            seconds = int(attempt.wait) + 1
            error = f"There were too many wrong passwords: try again in {seconds} s."
            answer = _html(429, pages.login_page(error=error, next=goal))
            answer.headers["Retry-After"] = str(seconds)
            return answer
        await asyncio.sleep(attempt.delay)
        account = await self._accounts.check(name, form.get("password", ""))
        if account is None:
            self.logins["failed"] += 1
            # Not a name that nobody has: it may be a password in the wrong field.
            user = name if self._accounts.get(name) else None
            journal("login-failed", user=user, client=client)
            error = "The name or the password is wrong."
            return _html(401, pages.login_page(error=error, next=goal))
        self._throttle.succeeded(client, name, now)
        self.logins["succeeded"] += 1
        self._end_login(request)
        token = self._store.begin(name, account.password_hash, client, time.time())
        journal("login", user=name, client=client, login=login_id(token)[:12])
        answer = _see_other(goal)
        answer.set_cookie(COOKIE, token, path="/", secure=True, httponly=True, samesite="Strict")
        return answer

    async def _log_out(self, request: web.Request) -> web.Response:
        if not self._is_ours(request):
            return _foreign()
        self._end_login(request)
        answer = _see_other("/login")
        answer.del_cookie(COOKIE, path="/")
        return answer

    def _end_login(self, request: web.Request) -> None:
        """End the log-in that a request comes with, and its consoles."""
        token = request.cookies.get(COOKIE, "")
        login = self._store.login(login_id(token)) if token else None
        if login:
            self._store.end(login.id)
            journal("logout", user=login.user, client=_client(request), login=login.id[:12])
            self._openings.sweep()

    def _is_ours(self, request: web.Request) -> bool:
        """Tell whether a request comes from one of the gateway's own pages."""
        found = request.headers.getall("Origin", [])
        return len(found) == 1 and found[0] in self.settings.origins


async def _form(request: web.Request) -> dict[str, str]:
    """Return the fields of a form. Raises web.HTTPException."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType
    try:
        text = (await request.read()).decode()
        fields = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=8)
    except ValueError:
        raise web.HTTPBadRequest from None
    found = {key: values[0] for key, values in fields.items() if len(values) == 1}
    if not 0 < len(found.get("username", "")) <= _LONGEST_NAME:
        raise web.HTTPBadRequest
    return found


def _client(request: web.Request) -> str:
    """Return where a visitor comes from, as nginx says."""
    return str(request.headers.get("X-Console-Client", ""))[:_LONGEST_NAME]


def _html(status: int, page: str) -> web.Response:
    return web.Response(status=status, text=page, content_type="text/html", charset="utf-8")


def _message(status: int, title: str, sentence: str) -> web.Response:
    return _html(status, pages.message_page(status=status, title=title, sentence=sentence))


def _not_found() -> web.Response:
    """Return the same to whoever asks for what is not there, or not for them."""
    return _message(404, "Not found", "There is nothing here that you may see.")


def _not_allowed(methods: Iterable[str]) -> web.Response:
    answer = _message(405, "Not that way", "This address does not take such a request.")
    answer.headers["Allow"] = ", ".join(methods)
    return answer


def _foreign() -> web.Response:
    return _message(403, "Not from there", "This request did not come from the gateway's own page.")


def _refused(why: str) -> web.Response:
    return web.Response(status=403, headers={"X-Console-Refusal": why})


def _log_in_first() -> web.Response:
    return web.json_response({"error": "log in first"}, status=401)


def _to_log_in(request: web.Request) -> web.Response:
    goal = local_path(request.raw_path)
    return _see_other("/login" if goal == "/" else f"/login?next={quote(goal, safe='')}")


def _see_other(path: str) -> web.Response:
    # By hand: aiohttp's own redirection would take the path apart and put it together anew.
    return web.Response(status=303, headers={"Location": path})
