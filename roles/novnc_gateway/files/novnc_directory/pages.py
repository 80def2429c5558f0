# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The pages that people see. Titles and names are other people's: every one is escaped."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).resolve().parent

Record = Mapping[str, Any]
"""A console or a host, with the keys that `/portal.json` has."""


def _version(directory: Path) -> str:
    """Return what names the present content of a directory's files.

    Raises:
        OSError: One cannot be read.
    """
    content = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:16]


PORTAL = f"/portal/{_version(_HERE.parent / 'portal')}"
"""Where a browser finds the pages' own files; another place for each version of them."""

_FORMATTING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, those among them that turn the direction of text around."""


def login_page(*, error: str, next: str) -> str:  # noqa: A002 (the form's own name for it)
    """Return the form to log in with.

    Args:
        error: Why the last attempt failed, in a sentence; empty at first.
        next: Path to go to afterwards; empty for the portal.
    """
    return _render("login.html", error=error, next=next)


def again_page(*, url: str) -> str:
    """Return a page that goes on at once, as somebody who is here already.

    Args:
        url: A path of this gateway.
    """
    return _render("again.html", url=url)


def portal_page(*, user: str, hosts: Iterable[Record], consoles: Iterable[Record]) -> str:
    """Return the list of consoles, complete without any script."""
    return _render("portal.html", user=user, groups=_groups(hosts, consoles))


def console_page(*, console: Record, novnc: str) -> str:
    """Return the page of one console.

    Args:
        console: Has ``vm``, ``host``, ``title``, ``state`` and ``may``; the ``url`` is its own.
        novnc: Where noVNC's files are, ``/novnc/<version>``.
    """
    return _render(
        "console.html", console=console, novnc=novnc, full_page=_full_page(console, novnc)
    )


def message_page(*, status: int, title: str, sentence: str) -> str:
    """Return a page that says something in place of another.

    Args:
        status: HTTP's.
        title: A few words.
        sentence: What there is to know.
    """
    return _render("message.html", status=status, title=title, sentence=sentence)


def _render(template: str, **values: object) -> str:
    return _TEMPLATES.get_template(template).render(portal=PORTAL, **values)


def _groups(hosts: Iterable[Record], consoles: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the hosts, each with its consoles; one without any only where it is silent."""
    found: dict[str, dict[str, Any]] = {host["host"]: {**host, "consoles": []} for host in hosts}
    for console in consoles:
        here = {"host": console["host"], "age": None, "silent": False, "consoles": []}
        found.setdefault(console["host"], here)["consoles"].append(console)
    return [group for group in found.values() if group["consoles"] or group["silent"]]


def _full_page(console: Record, novnc: str) -> str:
    """Return where noVNC's own page shows a console; what it needs is in the fragment."""
    path = f"{_path(console['url'])}websockify"
    # Up to 1.5 the path is appended to the host's root, from 1.6 on it is relative to the page.
    old = re.search(r"/1\.[0-5](\.|$)", novnc)
    path = path[1:] if old else f"../..{path}"
    view_only = "&view_only=true" if console["may"] == "watch" else ""
    return f"{novnc}/vnc.html#autoconnect=true&resize=scale{view_only}&path={quote(path, safe='')}"


def _path(url: str) -> str:
    """Return the path of a console's URL: who came by another name of the gateway stays there."""
    return urlsplit(url).path


def _ago(seconds: float) -> str:
    """Return a time span as people say it."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def _silence(host: Record) -> str:
    """Return the mark of a host that does not answer; empty for one that does."""
    if not host["silent"]:
        return ""
    return "has never answered" if host["age"] is None else f"silent for {_ago(host['age'])}"


def _audience(console: Record) -> str:
    """Return who looks at a console, each once; empty where nobody does, or may not be told."""
    names = [
        viewer["user"] if viewer["mode"] == "control" else f"{viewer['user']} (watching)"
        for viewer in console.get("viewers", ())
    ]
    return ", ".join(dict.fromkeys(names))


def _plain(text: str) -> str:
    """Return text for where no markup can keep its direction to itself, as a window's title."""
    return _FORMATTING.sub("", text)


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(path=_path, silence=_silence, audience=_audience, plain=_plain)
    return made


_TEMPLATES = _environment()
