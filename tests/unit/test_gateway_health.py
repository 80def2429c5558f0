"""What the role says of a gateway that is not well; the servers are real ones."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.modules.gateway_health import certificate_of, wait
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

NAME = "consoles.example.test:8443"
LONG = 60.0


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the certificates of two sites."""
    directory = tmp_path_factory.mktemp("pki")
    names = ("consoles.example.test",)
    Authority(directory).issue(
        [Request("ours", "server", names), Request("other", "server", names)]
    )
    return directory


class Site(ThreadingHTTPServer):
    """A site of nginx's, and how it was asked."""

    def __init__(self, pki: Path, certificate: str, status: int, text: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.status, self.text = status, text
        self.asked: list[str | None] = []
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pki / f"{certificate}.crt", pki / f"{certificate}.key")
        tls.sni_callback = lambda _socket, name, _context: self.asked.append(name)
        self.socket = tls.wrap_socket(self.socket, server_side=True)


class Handler(BaseHTTPRequestHandler):
    """Answers as its site says."""

    server: Site

    def do_GET(self) -> None:
        """Answer."""
        self.server.asked += [self.path, self.headers["Host"]]
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def site(
    pki: Path, certificate: str = "ours", status: int = 200, text: str = "ok\n", port: int = 0
) -> Iterator[Site]:
    """Run a site on loopback for a while."""
    with Site(pki, certificate, status, text, port) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def said(server: Site, pki: Path, seconds: float = 0.5) -> str:
    """Return what is said of a site."""
    port = server.server_address[1]
    return wait(NAME, "127.0.0.1", port, path=str(pki / "ours.crt"), seconds=seconds)


def test_one_that_is_well_is_asked_by_its_name(pki: Path) -> None:
    with site(pki) as server:
        assert said(server, pki, LONG) == ""
    assert server.asked == ["consoles.example.test", "/healthz", NAME]


@pytest.mark.parametrize(
    ("certificate", "status", "text", "sentence"),
    [
        ("other", 200, "ok\n", "shows another certificate"),
        ("ours", 503, "The gateway is being looked after.\n", "novnc-directory is away"),
        ("ours", 200, "Welcome to nginx!", "answers 200 'Welcome to nginx!': another site"),
        ("ours", 421, "", "answers 421 '': another site"),
    ],
)
def test_one_that_is_not_is_told_with_the_mend(
    pki: Path, certificate: str, status: int, text: str, sentence: str
) -> None:
    with site(pki, certificate, status, text) as server:
        assert sentence in said(server, pki)


def test_nobody_at_all_is_told_too(pki: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        found = wait(NAME, "127.0.0.1", port, path=str(pki / "ours.crt"), seconds=0.5)
    assert "nothing listens there; 'journalctl -u nginx' says why" in found


def test_one_that_says_nothing_is_told_too(pki: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        found = wait(NAME, "127.0.0.1", port, path=str(pki / "ours.crt"), seconds=0.5)
    assert "no answer within 0.5 s" in found


def test_a_reload_may_take_a_moment(pki: Path) -> None:
    with site(pki, status=503) as server:
        found: list[str] = []
        waiting = threading.Thread(target=lambda: found.append(said(server, pki, LONG)))
        waiting.start()
        while NAME not in server.asked:
            assert waiting.is_alive()
        server.status = 200
        waiting.join()
    assert found == [""]


def test_of_a_chain_the_first_counts(pki: Path, tmp_path: Path) -> None:
    chain = tmp_path / "chain.crt"
    chain.write_text("".join((pki / name).read_text() for name in ("ours.crt", "ca.crt")))
    assert certificate_of(str(chain)) == certificate_of(str(pki / "ours.crt"))
    chain.write_text("nothing")
    with pytest.raises(ValueError, match="no certificate"):
        certificate_of(str(chain))
