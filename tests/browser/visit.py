"""Somebody who looks at pages on a stage."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.stage import Stage, vm
from tests.browser.viewer import listen
from tests.browser.vnc import Vnc

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned=1'>",
    "\"'><svg onload=window.pwned=1>",
    "{{ 7 * 7 }}${7*7}&lt;&amp;%3Cb%3E",
    "\u202egnp.exe\u2069\u2069\u202c after",
    "\u05e9\u05e8\u05ea \u05d3\u05d5\u05d0\u05e8",
    "\U0001f427 Linux \U0001f525",
    "two  words\tand a tab",
    "W" * 255,
)
"""Names that a VM may have: libvirt takes nearly all of them, and a title is any text."""


class Visit:
    """Somebody's browser.

    Attributes:
        complaints: Of all pages together.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: set[str] = set()

    def __call__(self, url: str, **options: Any) -> Page:
        """Open a page, with options of its context."""
        self._contexts.append(self._browser.new_context(**options))
        page = self._contexts[-1].new_page()
        listen(page, self.complaints)
        page.goto(url)
        return page

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()


def connected(page: Page) -> None:
    expect(page.locator("#notice")).to_be_hidden()
    expect(page.locator("#screen canvas")).to_be_visible()


def console_at(stage: Stage, vnc: Vnc | None, title: str = "Web server", **more: Any) -> str:
    """Put a VM on the stage; return its console's URL."""
    console = vm("kvm1", "web01", title, **more)
    stage.show(console)
    if vnc:
        stage.vnc[console["uuid"]] = vnc
    return stage.url + str(console["url"])


def uuid(stage: Stage) -> str:
    return str(stage.consoles[0]["uuid"])


def violations(page: Page) -> list[str]:
    """Return what axe-core has to say, best practices included."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found]
