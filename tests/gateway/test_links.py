"""Links from elsewhere, in Chromium: they find the log-in, whose cookie is SameSite=Strict."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.browser.viewer import chromium, trust
from tests.gateway.visitor import CA, ORIGIN
from tests.harness.waiting import wait_until

LINKS = {
    "console": ("/vm/db01/", "db01"),
    "nothing": ("/vm/nobody/", "Not found"),
    "portal": ("/", "Consoles"),
}
"""Paths on the gateway, and what is in the titles of their pages."""
PAGE = "<!DOCTYPE html><title>Elsewhere</title>" + "".join(
    f"<a id={name} href='{ORIGIN}{path}'>{name}</a>" for name, (path, _) in LINKS.items()
)


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        page = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """Return the address of another site's page, with links to the gateway."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    home = tmp_path_factory.mktemp("home")
    trust(home, Path(CA))
    with sync_playwright() as playwright, chromium(playwright, home) as running:
        yield running


def follow(page: Page, elsewhere: str, link: str, path: str) -> None:
    """Follow a link until it has led to a path of the gateway."""

    def there() -> bool:
        try:
            page.goto(elsewhere)
            page.click(f"#{link}")
            page.wait_for_url(ORIGIN + path)
        except Error:  # Chromium gives up when a network of this machine comes or goes
            return False
        return True

    wait_until(there, 60, "the console")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_who_has_logged_in_follows_links_from_elsewhere(
    cookies: dict[str, str], elsewhere: str, browser: Browser, scripts: bool
) -> None:
    assert cookies  # so that the VMs are there
    with browser.new_context(java_script_enabled=scripts) as context:
        page = context.new_page()
        follow(page, elsewhere, "console", "/login?next=%2Fvm%2Fdb01%2F&here=1")
        page.fill("#username", "ada")
        page.fill("#password", "ada's password")
        page.click("button.main")
        page.wait_for_url(f"{ORIGIN}/vm/db01/")
        for link, (path, title) in LINKS.items():
            follow(page, elsewhere, link, path)
            expect(page).to_have_title(re.compile(title))
            expect(page.locator("form[action='/login']")).to_have_count(0)
