# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The pages; only their interface so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def login_page(*, error: str, next: str) -> str:  # noqa: A002 (as in the form)
    """Return the form of the log-in."""
    return (
        f'<!doctype html><title>Log in</title><p>{escape(error)}</p><form method="post"'
        ' action="/login"><input name="username"><input name="password" type="password">'
        f'<input type="hidden" name="next" value="{escape(next)}"><button>Log in</button></form>'
    )


def portal_page(
    *, user: str, hosts: Sequence[Mapping[str, Any]], consoles: Sequence[Mapping[str, Any]]
) -> str:
    """Return the list of consoles."""
    links = "".join(
        f'<li><a href="{escape(one["url"])}">{escape(one["title"])}</a>' for one in consoles
    )
    return f"<!doctype html><title>Consoles</title><p>{escape(user)}</p><ul>{links}</ul>"


def console_page(*, console: Mapping[str, Any], novnc: str) -> str:
    """Return the page of one console."""
    return f"<!doctype html><title>{escape(console['title'])}</title><p>{escape(novnc)}</p>"


def message_page(*, status: int, title: str, sentence: str) -> str:
    """Return a page that says something."""
    return f"<!doctype html><title>{status} {escape(title)}</title><p>{escape(sentence)}</p>"
