"""The images that people use, running, and the host beside them that the roles have made."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import guest_image
import pytest
import testinfra
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.viewer import Viewer, chromium, trust
from tests.harness import containers
from tests.harness.containers import PKI, PORT, PROJECT, TCP_CONSOLE, TLS_CONSOLE
from tests.harness.fleet import Answer, Console
from tests.harness.project import CACHE

SCREENSHOTS = CACHE / "screenshots"
COOKIE = "novnc_fleet_session"


def console(name: str, vm: str, listen: str, *, tls: bool = False) -> Console:
    """Return a container's console as those of the roles are described."""
    scheme = "s" if tls else ""
    return Console(
        on=testinfra.get_host(f"docker://{PROJECT}-{name}"),
        host=listen.rpartition(":")[0],
        vm=vm,
        vnc="",
        listen=listen,
        url=f"http{scheme}://{listen}/vnc.html#autoconnect=true&resize=scale",
        websocket=f"ws{scheme}://{listen}/websockify",
    )


CONSOLES = [
    console("tcp", "mail01", f"{TCP_CONSOLE}:6080"),
    console("tls", "db01", f"{TLS_CONSOLE}:6443", tls=True),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that wants ``console`` each of them in turn."""
    if "console" in metafunc.fixturenames:
        metafunc.parametrize("console", CONSOLES, ids=lambda one: one.vm)


@pytest.fixture(scope="session")
def consoles() -> list[Console]:
    """Return all of them."""
    return CONSOLES


@pytest.fixture
def colour() -> Callable[[str], tuple[int, int, int]]:
    """Return the function that tells the background of a VM's screen."""
    return guest_image.colour


class Portal:
    """Somebody who is logged in at the fleet's gateway, without a browser."""

    def __init__(self, ca: str, password: str, user: str = "admin", port: int = PORT) -> None:
        self.ca, self.password = ca, password
        self._port, self._origin = port, f"https://localhost:{port}"
        form = urlencode({"username": user, "password": password})
        answer = self._ask("POST", "/login", form)
        assert answer.status == 303, answer.content
        self.cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]

    def _ask(self, method: str, path: str, body: str = "", **headers: str) -> Answer:
        context = ssl.create_default_context(cafile=self.ca)
        sent = {"Origin": self._origin, "Content-Type": "application/x-www-form-urlencoded"}
        with closing(
            http.client.HTTPSConnection("localhost", self._port, context=context, timeout=30)
        ) as line:
            line.request(method, path, body, {**sent, **headers})
            answer = line.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def shown(self) -> dict[str, dict[str, Any]]:
        """Return what may be opened, by the VMs' names."""
        listed = json.loads(self._ask("GET", "/consoles.json", Cookie=self.cookie).content)
        return {one["vm"]: one for one in listed}

    def state(self, vm: str) -> str:
        """Return a VM's state."""
        return str(self.shown()[vm]["state"])

    def open(self, vm: str) -> ByteStream:
        """Open a console. Raises HopError."""
        return open_console(
            f"wss://localhost:{self._port}/vm/{vm}/websockify",
            ca=self.ca,
            origin=self._origin,
            headers={"Cookie": self.cookie},
            timeout=30,
        )


@pytest.fixture(scope="session")
def gateway() -> str:
    """Return the name of the gateway's container."""
    return containers.name_of("gateway")


@pytest.fixture(scope="session")
def fleet_ca(gateway: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the authority that the fleet's setup has made."""
    file = tmp_path_factory.mktemp("ca") / "ca.crt"
    file.write_text(
        containers.run("docker", "exec", gateway, "cat", "/etc/novnc-fleet/gateway/ca.crt")
    )
    return file


@pytest.fixture(scope="session")
def portal(fleet_ca: Path) -> Portal:
    """Return somebody who is logged in."""
    return Portal(str(fleet_ca), containers.password())


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Run Playwright."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(
    playwright: Playwright, fleet_ca: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """Run a browser that trusts the fleet's authority, and the one of the tests' certificates."""
    home = tmp_path_factory.mktemp("home")
    trust(home, fleet_ca)
    add = ["certutil", "-d", f"sql:{home}/.pki/nssdb", "-A", "-n", "tests", "-t", "C,,", "-i"]
    subprocess.run([*add, PKI / "ca.crt"], check=True, timeout=60)
    with chromium(playwright, home) as running:
        yield running


@pytest.fixture
def viewer(browser: Browser, console: Console) -> Iterator[Viewer]:
    """Put somebody in front of a console."""
    with browser.new_context() as context:
        yield Viewer(context.new_page(), console.vm)


@pytest.fixture
def photo(console: Console) -> Path:
    """Return where to save a console's picture."""
    file = SCREENSHOTS / f"container-{console.vm}.png"
    file.unlink(missing_ok=True)
    return file
