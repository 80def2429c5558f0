# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The answers that occur more than once."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web

from novnc_directory import pages
from novnc_directory.paths import local_path


def html(status: int, page: str) -> web.Response:
    """Return a page."""
    return web.Response(status=status, text=page, content_type="text/html", charset="utf-8")


def message(status: int, title: str, sentence: str) -> web.Response:
    """Return a page that says something."""
    return html(status, pages.message_page(status=status, title=title, sentence=sentence))


def not_found() -> web.Response:
    """Return the same to whoever asks for what is not there, or not for them."""
    return message(404, "Not found", "There is nothing here that you may see.")


def not_allowed(methods: Iterable[str]) -> web.Response:
    """Return what a method is answered that does not fit an address."""
    answer = message(405, "Not that way", "This address does not take such a request.")
    answer.headers["Allow"] = ", ".join(methods)
    return answer


def foreign() -> web.Response:
    """Return what a form of another page is answered."""
    return message(403, "Not from there", "This request did not come from the gateway's own page.")


def refused(why: str) -> web.Response:
    """Return to nginx why a console is not opened: ``none`` or ``full``."""
    return web.Response(status=403, headers={"X-Console-Refusal": why})


def log_in_first() -> web.Response:
    """Return what a program is answered that has not logged in."""
    return web.json_response({"error": "log in first"}, status=401)


def to_log_in(request: web.Request) -> web.Response:
    """Send a person to the log-in, and from there to where they wanted to go."""
    return see_other(login_path(local_path(request.raw_path)))


def login_path(goal: str) -> str:
    """Return the path of the form that leads to another path afterwards."""
    return f"/login?next={quote(goal, safe='')}"


def see_other(path: str) -> web.Response:
    """Send a browser to a path of this gateway."""
    # By hand: aiohttp's own redirection would take the path apart and put it together anew.
    return web.Response(status=303, headers={"Location": path})
