"""Every console shows its own VM, to those who may see it, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import websockets.exceptions
import websockets.sync.client
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.websocket import UpgradeError

from tests.harness.fleet import Console, background
from tests.harness.repeats import times
from tests.harness.waiting import wait_until


def received(connection: socket.socket) -> bytes:
    """Return what the other side says before it hangs up, in good order or not."""
    try:
        return connection.recv(100)
    except ConnectionResetError:
        return b""


def test_it_shows_its_own_vm(
    console: Console, colour: Callable[[str], tuple[int, int, int]]
) -> None:
    with console.session() as client:
        assert client.info.version == "003.008"
        assert client.info.name == f"QEMU ({console.vm})"
        assert background(client) == colour(console.vm)


def test_an_independent_client_reaches_rfb(console: Console) -> None:
    with websockets.sync.client.connect(
        console.websocket, ssl=console.tls_context, subprotocols=None
    ) as connection:
        assert connection.recv(timeout=10) == b"RFB 003.008\n"


def test_typing_reaches_the_vm(console: Console) -> None:
    with console.session() as client:
        client.type_text("\n")
        before = client.framebuffer()
        client.type_text("q")
        wait_until(
            lambda: client.framebuffer().rgb != before.rgb, 10, "another screen of the guest's"
        )


def test_its_page_is_served_afresh(console: Console) -> None:
    parts = urlsplit(console.url)
    response = console.get(parts.path)
    assert response.status == 200
    assert response.headers["Cache-Control"] == "no-cache"
    # A foreign page must not put it into a frame and steal clicks.
    assert "frame-ancestors 'self' " in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/app/", "/core", "/core/"])
def test_no_directory_is_listed(console: Console, path: str) -> None:
    assert console.get(path).status in (301, 404)


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/etc/passwd"]
)
def test_nothing_else_is_served(console: Console, path: str) -> None:
    assert console.get(path).status == 404


def test_its_own_pages_may_open_it(console: Console) -> None:
    scheme = "https" if console.tls else "http"
    names = (console.address[0], console.host)
    for name in names:
        with console.session(origin=f"{scheme}://{name}:{console.address[1]}") as client:
            assert client.info.name == f"QEMU ({console.vm})"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://198.18.90.11"])
def test_a_foreign_page_may_not(console: Console, origin: str) -> None:
    with pytest.raises(UpgradeError) as refused, console.session(origin=origin):
        pass
    assert refused.value.http_status == 403


def test_tls_means_tls_only(console: Console) -> None:
    http_request, client_hello = b"GET /vnc.html HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello"
    with socket.create_connection(console.address, timeout=10) as connection:
        connection.sendall(http_request if console.tls else client_hello)
        assert received(connection) == b""


def test_killed_in_use_it_serves_the_next_visitor(console: Console) -> None:
    # More often than the five starts in a row that systemd allows where nothing else is said.
    for _ in range(times(20, test=8)):
        with suppress(HopError), console.session():
            pid = console.main_pid()
            assert pid
            console.on.check_output(f"kill -9 {pid}")
        with console.session() as client:
            assert client.info.name == f"QEMU ({console.vm})"


def test_the_sandbox_holds(console: Console) -> None:
    console.on.check_output(
        "systemd-analyze security --offline=true --threshold=15"
        " /etc/systemd/system/novnc-console@.service"
    )
