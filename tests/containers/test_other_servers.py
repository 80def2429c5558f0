"""VNC servers of other makers behind direct consoles: x11vnc's and TigerVNC's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import (
    connect_console,
    enter_console,
    parse_console,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline
from ansible_collections.novnc.fleet.plugins.module_utils.notation import UnixTarget
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from playwright.sync_api import Browser

from tests.browser.viewer import EXPECTED, READ_SCREEN, TIMEOUT_MS, listen, wait_until
from tests.harness.containers import HARDENED, PROJECT, SHARED, checks, health, image, run
from tests.harness.fleet import Console, background, hosts
from tests.harness.fleet import consoles as consoles_of_hosts
from tests.harness.waiting import wait_until as wait_for

SERVERS = {"x11": ("An X display", (0x40, 0xA0, 0x60)), "tiger": ("TigerVNC", (0xA0, 0x40, 0x60))}
"""The desktop name that each announces, and its colour."""
HOST = "novnc-fleet-kvm20"
FIRST_PIXEL = "Array.from(guest.pixels(0, 0, 1, 1) ?? []).slice(0, 3)"


def of(vm: str) -> Console:
    return next(one for one in consoles_of_hosts() if one.vm == vm)


@pytest.mark.parametrize("vm", SERVERS)
def test_it_is_shown(vm: str) -> None:
    name, colour = SERVERS[vm]
    with of(vm).session() as client:
        assert client.info.name == name
        assert background(client) == colour


@pytest.mark.parametrize("vm", SERVERS)
def test_it_is_shown_in_a_browser(browser: Browser, vm: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        complaints: set[str] = set()
        listen(page, complaints)
        page.set_default_timeout(TIMEOUT_MS)
        page.add_init_script(READ_SCREEN)
        page.goto(of(vm).url)
        wait_until(page, lambda: page.evaluate(FIRST_PIXEL) == list(SERVERS[vm][1]))
    assert complaints - EXPECTED["http"] == set()


CHECKS = 8
"""TigerVNC shuts out after four that leave without a login."""


@pytest.fixture(params=[5912, 5913], ids=["login", "none"])
def looked_after(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return the listener of a console in a container beside the server, looked after too often."""
    name, socket = f"{PROJECT}-other", SHARED / "other"
    # It forgets whom it has shut out before.
    servers = ("test-tigervnc-login", "test-tigervnc-untyped")
    hosts()["kvm20"].check_output(f"systemctl restart {' '.join(servers)}")
    run(
        *("docker", "run", "-d", "--name", name, *HARDENED, "--health-interval", "200ms"),
        *("--network", f"container:{HOST}", "-v", f"{SHARED}:/shared"),
        *("-e", f"VNC_TARGET=127.0.0.1:{request.param}", "-e", "LISTEN=unix:/shared/other"),
        image("console"),
    )
    try:
        wait_for(lambda: health(name) == "healthy", 60, "a healthy console")
        for _ in range(CHECKS):
            wait_for(partial(asked_again, name, checks(name)), 60, "another check")
        assert health(name) == "healthy"
        yield socket
    finally:
        run("docker", "rm", "-f", name)


def asked_again(name: str, before: set[str]) -> bool:
    """Tell whether a container's health has been asked for since."""
    return not checks(name) <= before


def test_its_health_shuts_nobody_out(looked_after: Path) -> None:
    with connect_console(UnixTarget(str(looked_after)), Deadline(30)) as transport:
        target = parse_console("ws://localhost/websockify")
        with enter_console(transport, target) as stream:
            # What is refused raises "Too many security failures".
            assert RfbClient(stream).handshake().security_names
