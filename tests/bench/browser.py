"""Chromium as the bench needs it: what a page fetches, and how long it takes to show something."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.bench.client import TIMEOUT, BenchError
from tests.bench.gateway import CA, COOKIE, Site
from tests.browser.viewer import chromium, trust


@contextmanager
def browser() -> Iterator[Browser]:
    """Run Chromium, which trusts the scenario's authority."""
    with tempfile.TemporaryDirectory(prefix="novnc-bench-home-") as home, sync_playwright() as play:
        trust(Path(home), CA)
        with chromium(play, Path(home)) as running:
            yield running


@contextmanager
def visitor(running: Browser, site: Site) -> Iterator[BrowserContext]:
    """Have somebody who has logged in and whose cache is empty."""
    with running.new_context() as context:
        context.set_default_timeout(TIMEOUT * 1e3)
        address = f"https://{site.gateway.address}"
        context.add_cookies([{"name": COOKIE, "value": site.cookie, "url": address}])
        yield context


@dataclass
class Traffic:
    """What a page fetches over the network; what comes from a cache is not counted.

    Attributes:
        requests: How many, those for WebSockets not among them.
        bytes: Of all answers, with their headers and as they were compressed.
    """

    requests: int = 0
    bytes: int = 0
    _from: set[str] = field(default_factory=set)

    def listen(self, page: Page) -> None:
        """Count from now on."""
        session = page.context.new_cdp_session(page)
        session.on("Network.responseReceived", self._answered)
        session.on("Network.loadingFinished", self._finished)
        session.send("Network.enable")

    def _answered(self, event: dict[str, Any]) -> None:
        answer = event["response"]
        if not answer.get("fromDiskCache") and answer["url"].startswith("https:"):
            self._from.add(event["requestId"])

    def _finished(self, event: dict[str, Any]) -> None:
        if event["requestId"] in self._from and event["encodedDataLength"] > 0:
            self.requests += 1
            self.bytes += int(event["encodedDataLength"])


def milliseconds(page: Page, expression: str) -> float:
    """Return what a page says of itself once it does. Raises BenchError."""
    end = time.monotonic() + TIMEOUT
    while (found := page.evaluate(expression)) is None:
        if time.monotonic() > end:
            raise BenchError(f"{page.url} shows nothing: waited for {expression}")
        page.evaluate("new Promise(requestAnimationFrame)")
    return float(found)
