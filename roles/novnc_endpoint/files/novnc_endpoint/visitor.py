# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who comes, as the gateway says in the headers of a request."""

from __future__ import annotations

import re

from aiohttp import web

from novnc_endpoint.session import Visitor

MODES = ("control", "watch")
_MAX_HEADER = 255
"""Characters of a name or address that are taken from a gateway's header."""


def visitor_of(request: web.Request, gateway: frozenset[str]) -> Visitor:
    """Return who comes by a gateway with these names. Raises HTTPForbidden."""
    user, client = said(request, "X-Console-User"), said(request, "X-Console-Client")
    mode = said(request, "X-Console-Mode")
    if not user:
        raise web.HTTPForbidden(text="the header X-Console-User must say who comes\n")
    if mode not in MODES:
        raise web.HTTPForbidden(text=f"the header X-Console-Mode must be {' or '.join(MODES)}\n")
    return Visitor(user, client, mode, gateway)


def session_of(request: web.Request) -> str:
    """Return the id that the gateway gives the session; empty if it leaves that to us.

    Raises HTTPForbidden if it is none.
    """
    identity = said(request, "X-Console-Session")
    if "X-Console-Session" in request.headers and not re.fullmatch("[0-9a-f]{32}", identity):
        raise web.HTTPForbidden(
            text=f"the header X-Console-Session is {identity!r}, not 32 lowercase hex digits\n"
        )
    return identity


def ender_of(request: web.Request) -> str:
    """Return who ends a session by this request. Raises HTTPForbidden."""
    return said(request, "X-Console-User") or "an administrator"


def said(request: web.Request, header: str) -> str:
    """Return what the gateway says in a header; empty without it.

    Raises HTTPForbidden where it stands there twice (one may be the visitor's own), is too long,
    or is no text.
    """
    found = request.headers.getall(header, [])
    # aiohttp keeps what is not UTF-8 as surrogates, which cannot be printed.
    if len(found) > 1 or any(len(one) > _MAX_HEADER or not one.isprintable() for one in found):
        raise web.HTTPForbidden(text=f"the header {header} must be one line of UTF-8\n")
    return str(found[0]) if found else ""
