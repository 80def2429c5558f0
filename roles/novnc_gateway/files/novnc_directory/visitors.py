# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who a visitor is, and how they become that: log-in and log-out."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from urllib.parse import parse_qs

from aiohttp import web

from novnc_directory import answers, pages
from novnc_directory.accounts import Accounts, BusyError
from novnc_directory.audit import journal
from novnc_directory.consoles import Consoles
from novnc_directory.paths import local_path
from novnc_directory.records import Login, login_id
from novnc_directory.rights import Account
from novnc_directory.store import Store
from novnc_directory.throttle import Attempt, Throttle

COOKIE = "novnc_fleet_session"
SUCCEEDED, FAILED, WAITED, BUSY = OUTCOMES = ("succeeded", "failed", "waited", "busy")
"""What comes of a log-in; who has to wait is told so before the password is looked at."""
_BUSY_FOR = 5
"""Seconds after which to try again where too many passwords wait to be checked."""
_TOKEN = re.compile("[A-Za-z0-9_-]{20,64}")
_LONGEST_NAME = 255

Visitor = tuple[Login, Account]


class Visitors:
    """Those who come.

    Attributes:
        outcomes: Log-ins tried since the start, by what came of them.
    """

    def __init__(self, store: Store, accounts: Accounts, consoles: Consoles) -> None:
        self.outcomes: Counter[str] = Counter()
        self._store, self._accounts, self._consoles = store, accounts, consoles
        self._throttle = Throttle()
        for user, place in store.places:
            if accounts.get(user):
                self._throttle.know(place, user)
            else:
                store.forget_user(user)

    def of(self, request: web.Request, *, uses: bool = True) -> Visitor | None:
        """Return who has logged in; ``uses`` keeps the log-in from becoming idle."""
        login = self._login(request)
        account = self._accounts.get(login.user) if login else None
        if not (login and account) or self._consoles.is_over(login, account):
            return None
        if uses:
            self._store.touch(login, time.time())
        return login, account

    def _login(self, request: web.Request) -> Login | None:
        """Return the log-in that a request comes with, over or not."""
        token = cookie(request)
        return self._store.login(login_id(token)) if token else None

    async def form(self, request: web.Request) -> web.Response:
        """Answer the form, or go on where somebody has logged in already."""
        goal = local_path(request.query.get("next", "/"))
        if self.of(request):
            return answers.see_other(goal)
        # Who follows a link from another site comes without the cookie, which is SameSite=Strict,
        # even where they have logged in. A page of ours that asks again brings it along.
        if "next" in request.query and "here" not in request.query and not cookie(request):
            return answers.html(200, pages.again_page(url=f"{answers.login_path(goal)}&here=1"))
        return answers.html(200, pages.login_page(error="", next=goal))

    async def log_in(self, request: web.Request) -> web.Response:
        """Answer a form that was filled in. Raises StoreError."""
        if not self.is_ours(request):
            return answers.foreign()
        form = await _form(request)
        name, goal = form["username"], local_path(form.get("next", "/"))
        address = client(request)
        attempt = self._throttle.begin(address, name, time.monotonic())
        if attempt.wait:
            self.outcomes[WAITED] += 1
            seconds = int(attempt.wait) + 1
            error = f"There were too many wrong passwords: try again in {seconds} s."
            return _later(429, seconds, error, goal)
        try:
            account = await self._check(attempt, name, form.get("password", ""))
        except BusyError:
            self.outcomes[BUSY] += 1
            error = f"Too many people log in just now: try again in {_BUSY_FOR} s."
            return _later(503, _BUSY_FOR, error, goal)
        if account is None:
            self.outcomes[FAILED] += 1
            # Not a name that nobody has: it may be a password in the wrong field.
            user = name if self._accounts.get(name) else None
            journal("login-failed", user=user, client=address)
            error = "The name or the password is wrong."
            return answers.html(401, pages.login_page(error=error, next=goal))
        token, login = self._store.begin(name, account.password_hash, address, time.time())
        self._store.know(name, attempt.place, time.time())
        self.outcomes[SUCCEEDED] += 1
        before = self._login(request)
        if before and before.user == name:
            # They have filled in two forms, say, in two windows: what is open stays open.
            self._consoles.hand_over(before, login)
        self._end_login(request)
        journal("login", user=name, client=address, login=login.id[:12])
        answer = answers.see_other(goal)
        answer.set_cookie(COOKIE, token, path="/", secure=True, httponly=True, samesite="Strict")
        return answer

    async def _check(self, attempt: Attempt, name: str, password: str) -> Account | None:
        """Return the account if the password is its own. Raises BusyError."""
        right = None
        try:
            await asyncio.sleep(attempt.delay)
            right = await self._accounts.check(name, password, known=attempt.known)
        except BusyError:
            self._throttle.unheard(attempt)
            raise
        except BaseException:  # whoever goes away has tried all the same
            self._throttle.failed(attempt, time.monotonic())
            raise
        if right:
            self._throttle.succeeded(attempt, name)
        else:
            self._throttle.failed(attempt, time.monotonic())
        return right

    async def log_out(self, request: web.Request) -> web.Response:
        """End the log-in, and its consoles."""
        if not self.is_ours(request):
            return answers.foreign()
        self._end_login(request)
        answer = answers.see_other("/login")
        answer.del_cookie(COOKIE, path="/")
        return answer

    def _end_login(self, request: web.Request) -> None:
        """End the log-in that a request comes with, and its consoles."""
        if login := self._login(request):
            self._store.end(login.id)
            journal("logout", user=login.user, client=client(request), login=login.id[:12])
            self._consoles.sweep()

    def is_ours(self, request: web.Request) -> bool:
        """Tell whether a request comes from one of the gateway's own pages."""
        found = request.headers.getall("Origin", [])
        return len(found) == 1 and found[0] in self._consoles.settings.origins


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


def client(request: web.Request) -> str:
    """Return where a visitor comes from, as nginx says."""
    return str(request.headers.get("X-Console-Client", ""))[:_LONGEST_NAME]


def cookie(request: web.Request) -> str:
    """Return the token that a browser sends; empty without one that could be ours."""
    # By hand: http.cookies drops all cookies after one that it does not understand, and other
    # services on the gateway's host may set any.
    for one in ";".join(request.headers.getall("Cookie", [])).split(";"):
        name, _, value = one.strip().partition("=")
        if name == COOKIE and _TOKEN.fullmatch(value):
            return value
    return ""


def _later(status: int, seconds: int, error: str, goal: str) -> web.Response:
    """Return the form to whoever has to try again later."""
    answer = answers.html(status, pages.login_page(error=error, next=goal))
    answer.headers["Retry-After"] = str(seconds)
    return answer
