"""The demo's consoles, one test each, and the browser that opens them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.viewer import Viewer, chromium, trust
from tests.harness import demo
from tests.harness.project import CACHE

AUTHORITY = CACHE / "demo" / "pki" / "ca.crt"
SCREENSHOTS = CACHE / "screenshots"


@functools.cache
def demo_consoles() -> list[dict[str, Any]]:
    """Return the demo's consoles; without any, no test may pass for want of something to test."""
    try:
        found = demo.consoles()
    except SystemExit as stop:
        reason = "no demo is running; start it with 'make demo'" if stop.code == 1 else stop.code
        raise pytest.fail.Exception(str(reason), pytrace=False) from None
    return found or pytest.fail("the demo has no console", pytrace=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each console of each test that asks for `console`."""
    if "console" in metafunc.fixturenames:
        metafunc.parametrize(
            "console", demo_consoles(), ids=lambda console: f"{console['host']}-{console['vm']}"
        )


@pytest.fixture(scope="session")
def consoles() -> list[dict[str, Any]]:
    """Return all consoles of the demo."""
    return demo_consoles()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Run Playwright."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Run a browser that trusts the demo's certificate authority, as its owner has told it to."""
    home = tmp_path_factory.mktemp("home")
    trust(home, AUTHORITY)
    with chromium(playwright, home) as running:
        yield running


@pytest.fixture
def viewer(browser: Browser, console: dict[str, Any]) -> Iterator[Viewer]:
    """Put somebody in front of a console."""
    with browser.new_context() as context:
        yield Viewer(context.new_page(), console["vm"])


@pytest.fixture
def photo(console: dict[str, Any]) -> Path:
    """Return where to save a console's picture; an older one is not left to be taken for it."""
    file = SCREENSHOTS / f"{console['host']}-{console['vm']}.png"
    file.unlink(missing_ok=True)
    return file
