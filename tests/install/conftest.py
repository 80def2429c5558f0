"""The consoles of a scenario's hosts, one test each, and the browser that opens them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.viewer import chromium
from tests.harness.fleet import Console, consoles, variables


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each console of each test that asks for `console`."""
    if "console" in metafunc.fixturenames:
        found = consoles()
        assert found, "the scenario has no console"
        metafunc.parametrize("console", found, ids=lambda one: f"{one.host}-{one.vm}")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Run a browser."""
    with (
        sync_playwright() as playwright,
        chromium(playwright, tmp_path_factory.mktemp("home")) as running,
    ):
        yield running


@pytest.fixture
def expected(console: Console) -> dict[str, str]:
    """Return the versions that the inventory names, and dpkg's of what comes from packages."""
    said = variables()[console.host]

    def of(method: str, variable: str, package: str) -> str:
        if said.get(method, "package") != "package":
            return str(said[variable])
        shown = console.on.check_output("dpkg-query -W -f '${Version}' " + package)
        return str(shown).rpartition(":")[2].split("-")[0].split("+")[0]

    return {
        "noVNC": of("novnc_install_method", "novnc_version", "novnc"),
        "websockify": of("websockify_install_method", "websockify_version", "python3-websockify"),
    }
