"""Our pages in a real browser, with a fleet and VNC servers such as a test asks for.

The pages, their scripts and noVNC are the real ones. What the directory would tell of a fleet, and
what VNC servers would say, is the test's: fleets of any names, and servers that refuse.
"""

from __future__ import annotations

import http
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import NAMESPACE_DNS, uuid5

from novnc_directory import pages
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.browser.vnc import Vnc
from tests.harness.project import ROOT

PORTAL = ROOT / "roles" / "novnc_gateway" / "files" / "portal"
TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; font-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
"""As the gateway serves its own pages: whatever they break of it is one of their complaints."""


def vm(host: str, name: str, title: str = "", **more: Any) -> dict[str, Any]:
    """Return what the portal is told of a VM."""
    told = {
        "host": host,
        "vm": name,
        "uuid": str(uuid5(NAMESPACE_DNS, name)),
        "title": title or name,
        "state": "running",
        "may": "control",
        **more,
    }
    told["url"] = f"/vm/{told['uuid']}/"
    told["websocket"] = f"/vm/{told['uuid']}/websockify"
    return told


def host(name: str, *, silent: bool = False, age: float | None = None) -> dict[str, Any]:
    """Return what the portal is told of a host."""
    return {"host": name, "silent": silent, "age": age}


@dataclass
class Stage:
    """A gateway's pages on this machine.

    Attributes:
        novnc: Directory of noVNC's files, and ``version`` theirs.
        hosts: What the portal is told, and ``consoles`` and ``user``.
        logged_in: Whether whoever asks is taken for somebody who has logged in.
        answers: Whether there is any answer to what scripts ask.
        sentences: Why a VM cannot be opened, by uuid.
        vnc: The VNC server of a VM, by uuid.
        opened: The paths at which a WebSocket was asked for.
    """

    novnc: Path
    version: str
    user: str = "kim"
    hosts: list[dict[str, Any]] = field(default_factory=list)
    consoles: list[dict[str, Any]] = field(default_factory=list)
    logged_in: bool = True
    answers: bool = True
    sentences: dict[str, str] = field(default_factory=dict)
    vnc: dict[str, Vnc] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[Stage]:
        """Serve it."""
        with serve(self._console, "127.0.0.1", 0, process_request=self._answer) as server:
            self.url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def show(self, *consoles: dict[str, Any]) -> None:
        """Tell of these VMs, on hosts that all answer."""
        self.consoles = list(consoles)
        self.hosts = [host(name) for name in {one["host"]: 0 for one in consoles}]

    def _find(self, path: str) -> dict[str, Any] | None:
        segment = unquote(path.split("/")[2])
        return next((one for one in self.consoles if segment == one["uuid"]), None)

    def _console(self, client: ServerConnection) -> None:
        assert client.request
        console = self._find(client.request.path)
        assert console
        self.vnc[console["uuid"]].serve(client)

    def _answer(self, client: ServerConnection, request: Request) -> Response | None:
        path, _, query = request.path.partition("?")
        if path.endswith("/websockify"):
            self.opened.append(path)
            console = self._find(path)
            return None if console and console["uuid"] in self.vnc else _response(404)
        if path.startswith("/vm/"):
            return self._vm(path)
        if path.startswith("/novnc/"):
            return _file(self.novnc, path.removeprefix(f"/novnc/{self.version}/"))
        if path.startswith(f"{pages.PORTAL}/"):
            return _file(PORTAL, path.removeprefix(f"{pages.PORTAL}/"))
        answers: dict[str, Callable[[], Response]] = {
            "/": self._portal,
            "/portal.json": self._portal_json,
            "/login": lambda: _page(
                pages.login_page(
                    error=parse_qs(query).get("error", [""])[0],
                    next=parse_qs(query).get("next", [""])[0],
                )
            ),
        }
        return answers[path]() if path in answers else _not_found()

    def _portal(self) -> Response:
        if not self.logged_in:
            return _response(303, Location="/login")
        page = pages.portal_page(user=self.user, hosts=self.hosts, consoles=self.consoles)
        return _page(page)

    def _portal_json(self) -> Response:
        told = {"user": self.user, "hosts": self.hosts, "consoles": self.consoles}
        return self._json(told)

    def _json(self, told: object) -> Response:
        if not self.answers:
            return _response(502)
        if not self.logged_in:
            return _response(401)
        return _response(200, json.dumps(told).encode(), ".json")

    def _vm(self, path: str) -> Response:
        console = self._find(path)
        if console is None:
            return _not_found()
        if path.endswith("/state.json"):
            sentence = self.sentences.get(console["uuid"], "")
            return self._json({**console, "sentence": sentence})
        novnc = f"/novnc/{self.version}"
        return _page(pages.console_page(console=console, novnc=novnc))


def _response(status: int, body: bytes = b"", kind: str = ".html", **headers: str) -> Response:
    head = Headers(
        **{
            "Content-Type": TYPES[kind],
            "Content-Length": str(len(body)),
            "Connection": "close",
            "Content-Security-Policy": POLICY,
            **headers,
        }
    )
    return Response(status, http.HTTPStatus(status).phrase, head, body)


def _page(text: str) -> Response:
    return _response(200, text.encode())


def _not_found() -> Response:
    page = pages.message_page(status=404, title="Not found", sentence="There is nothing here.")
    return _response(404, page.encode())


def _file(directory: Path, path: str) -> Response:
    file = directory / urlsplit(path).path
    if not file.is_file():
        return _response(404)
    return _response(200, file.read_bytes(), file.suffix if file.suffix in TYPES else ".html")
