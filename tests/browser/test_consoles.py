"""What a person meets who opens a direct console in a browser."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import guest_image
import pytest
from playwright.sync_api import Browser
from websockets import Origin
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.browser.viewer import EXPECTED, Viewer
from tests.harness.fleet import CA, Console

KNOCK = """
url => new Promise(resolve => {
  const seen = [], socket = new WebSocket(url);
  socket.onopen = () => { seen.push("open"); socket.close(1000); };
  socket.onerror = () => seen.push("error");
  socket.onclose = () => resolve([...seen, "close"]);
})
"""
"""Try to open a WebSocket as any page can, and tell what came of it.

The code is named, as websockify 0.10 answers a closing without one in a way that Chromium rejects.
"""


class EmptyPage(BaseHTTPRequestHandler):
    """A page with nothing on it."""

    def do_GET(self) -> None:
        """Answer with the page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the library's name)
        """Say nothing."""


@pytest.fixture
def foreign_origin() -> Iterator[str]:
    """Serve a page that is none of ours; return its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def greeting(websocket: str, origin: str | None) -> str | bytes:
    """Return the first message that a program gets from a console."""
    trusted = ssl.create_default_context(cafile=CA)
    with connect(
        websocket,
        origin=Origin(origin) if origin else None,
        ssl=trusted if websocket.startswith("wss:") else None,
        proxy=None,
    ) as client:
        return client.recv(timeout=30)


def test_console_shows_its_guest_and_takes_keys(
    console: Console, consoles: list[Console], viewer: Viewer, photo: Path
) -> None:
    colour = guest_image.colour(console.vm)
    alike = [other.url for other in consoles if guest_image.colour(other.vm) == colour]
    assert alike == [console.url], "the colour does not tell which guest it is"

    viewer.page.goto(console.url)
    viewer.use()
    viewer.page.reload()
    viewer.use()
    viewer.photograph(photo)

    assert viewer.complaints - EXPECTED[urlsplit(console.url).scheme] == set()


def test_page_of_a_foreign_origin_is_refused(
    console: Console, browser: Browser, foreign_origin: str
) -> None:
    websocket = console.websocket
    with browser.new_context() as context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(foreign_origin)
        assert page.evaluate(KNOCK, websocket) == ["error", "close"]
        assert [text for text in said if websocket in text] == [
            f"WebSocket connection to '{websocket}' failed:"
            " Error during WebSocket handshake: Unexpected response code: 403"
        ]

        # The same from the console's own origin; without its fragment, noVNC does not connect.
        page.goto(console.url.partition("#")[0])
        assert page.evaluate(KNOCK, websocket)[0] == "open"

    # It was for the origin and nothing else: a program without one is let in.
    assert greeting(websocket, None) == b"RFB 003.008\n"
    with pytest.raises(InvalidStatus, match="HTTP 403"):
        greeting(websocket, foreign_origin)
