"""Direct consoles (the demo's, or a scenario's), the gateway's pages, and browsers to open them."""

from __future__ import annotations

import functools
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.stage import Stage
from tests.browser.viewer import Viewer, chromium, trust
from tests.browser.visit import Visit
from tests.harness import demo, fleet, releases
from tests.harness.fleet import CA, INVENTORY, Console
from tests.harness.project import CACHE

SCREENSHOTS = CACHE / "screenshots"


@functools.cache
def all_consoles() -> list[Console]:
    """Return the consoles; without any, no test may pass for want of something to test."""
    if str(demo.INVENTORY) == INVENTORY and not demo.is_running():
        pytest.fail("no demo is running; start it with 'make demo'", pytrace=False)
    return fleet.consoles() or pytest.fail("there is no console", pytrace=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each console of each test that asks for `console`."""
    if "console" in metafunc.fixturenames:
        metafunc.parametrize("console", all_consoles(), ids=lambda one: f"{one.host}-{one.vm}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """Let a failure tell what its pages have complained of.

    A network change that has ended a test (pyproject.toml) may be told there alone. It is not told
    in a note, as those are not looked at when a test is begun again.
    """
    try:
        return (yield)
    except Exception as error:
        found = {text for one in item.funcargs.values() for text in getattr(one, "complaints", ())}
        if found:
            raise AssertionError(f"{error}\nThe pages complained: {sorted(found)}") from error
        raise


@pytest.fixture(scope="session")
def consoles() -> list[Console]:
    """Return all of them."""
    return all_consoles()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Run Playwright."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Run a browser that trusts the demo's certificate authority, as its owner has told it to."""
    home = tmp_path_factory.mktemp("home")
    trust(home, CA)
    with chromium(playwright, home) as running:
        yield running


@pytest.fixture
def viewer(browser: Browser, console: Console) -> Iterator[Viewer]:
    """Put somebody in front of a console."""
    with browser.new_context() as context:
        yield Viewer(context.new_page(), console.vm)


@pytest.fixture
def photo(console: Console) -> Path:
    """Return where to save a console's picture; an older one is not left to be taken for it."""
    file = SCREENSHOTS / f"{console.host}-{console.vm}.png"
    file.unlink(missing_ok=True)
    return file


@pytest.fixture(scope="session")
def plain_browser(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    with chromium(playwright, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="session", params=["1.3.0", "1.6.0"])
def release(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Return a version of noVNC and where its files are."""
    directory = tmp_path_factory.mktemp("novnc")
    with tarfile.open(releases.archive(request.param)) as tar:
        tar.extractall(directory)  # noqa: S202 (it was packed by us)
    return request.param, directory / f"noVNC-{request.param}"


@pytest.fixture
def stage(release: tuple[str, Path]) -> Iterator[Stage]:
    with Stage(novnc=release[1], version=release[0]).running() as running:
        yield running


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Stage]:
    """Return a stage for those pages that noVNC has no part in."""
    with Stage(novnc=tmp_path, version="0").running() as running:
        yield running


@pytest.fixture
def visit(plain_browser: Browser) -> Iterator[Visit]:
    with closing(Visit(plain_browser)) as visit:
        yield visit
