"""A browser that trusts what a person made it trust, and a page of it that looks at a console."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import guest_image
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, Response

TIMEOUT_MS = 30_000
"""How long anything may take; far more than it does, a VM that is just booting included."""

FLAGS = (
    "--disable-gpu",
    # Chromium shall talk to the consoles, in the way they speak, and to nobody else.
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

EXPECTED: dict[str, set[str]] = {
    "https": set(),
    "http": {
        # noVNC since 1.4 says so wherever a page is not served over TLS.
        "console error /core/rfb.js: noVNC requires a secure context (TLS). Expect crashes!",
        # noVNC 1.3 reads its version from a file that Debian 12's package leaves out; in the
        # demo, it is the version without TLS. One missing file makes three complaints.
        "response /package.json: 404",
        "console error /package.json: Failed to load resource:"
        " the server responded with a status of 404 (File not found)",
        "console error /app/ui.js: Couldn't fetch package.json: Error: 404 File not found",
    },
}
"""The complaints that are no fault of ours, by the scheme of the console's URL."""

# What the tests read of the guest's screen: 80x25 characters of 9x16 pixels (docker/test-host).
# It is read from the canvas, so it is what a person sees; the other canvas is noVNC's cursor.
SCREEN = "#noVNC_container canvas, #screen canvas"
"""On noVNC's own page, and on the gateway's."""
READ_SCREEN = """
window.guest = {
  pixels(...area) {
    const canvas = document.querySelector("SCREEN");
    if (canvas?.width !== 720 || canvas.height !== 400) return null;
    return canvas.getContext("2d").getImageData(...area).data;
  },
  // The first characters of a row, as something to compare.
  row(row, columns = 80) {
    return this.pixels(0, row * 16, columns * 9, 16)?.join();
  },
  // How many characters of each row have a pixel in any other colour than the background's.
  characters(background) {
    const pixels = this.pixels(0, 0, 720, 400);
    if (!pixels) return null;
    const inked = Array.from({length: 25}, () => new Set());
    for (let i = 0; i < 720 * 400; i++) {
      if (background.some((channel, j) => pixels[4 * i + j] !== channel)) {
        inked[Math.floor(i / 720 / 16)].add(Math.floor((i % 720) / 9));
      }
    }
    return inked.map((columns) => columns.size);
  },
};
""".replace("SCREEN", SCREEN)
NAME_ROW, ECHO_ROW = 1, 3
MARGIN = 2
"""Columns left of the name, and of the echo."""


def trust(home: Path, authority: Path) -> None:
    """Make the browser of a home directory trust a certificate authority."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    certutil = ["certutil", "-d", f"sql:{store}"]
    add = ["-A", "-n", "demo", "-t", "C,,", "-i", str(authority)]
    for words in (["-N", "--empty-password"], add):
        subprocess.run([*certutil, *words], check=True, timeout=60)


def chromium_program() -> str:
    """Return the path of Chromium, or of what is built from it. Raises SystemExit."""
    found = filter(None, map(shutil.which, ("chromium", "google-chrome")))
    if (program := next(found, None)) is None:
        raise SystemExit("there is no Chromium; install it (scripts/setup browser)")
    return program


@contextmanager
def chromium(playwright: Playwright, home: Path, *flags: str) -> Iterator[Browser]:
    """Start Debian's Chromium in a home directory of its own, and end it."""
    browser = playwright.chromium.launch(
        executable_path=chromium_program(),
        chromium_sandbox=os.geteuid() != 0,  # it refuses to make one as root
        args=[*FLAGS, *flags],
        # Nothing else of the environment: proxies and XDG directories would change what is tested.
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
    )
    try:
        yield browser
    finally:
        browser.close()


def listen(page: Page, complaints: set[str]) -> None:
    """Note whatever a developer would see in red on a page: each with the path it is about."""

    def complain(what: str, url: str, text: str) -> None:
        complaints.add(f"{what} {urlsplit(url).path}: {text}")

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            complain("console error", message.location["url"], message.text)

    def on_failed_request(request: Request) -> None:
        complain("request failed", request.url, str(request.failure))

    def on_response(response: Response) -> None:
        if response.status >= 400:
            complain("response", response.url, str(response.status))

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.add(f"exception: {error}"))
    page.on("requestfailed", on_failed_request)
    page.on("response", on_response)


def wait_until(page: Page, holds: Callable[[], object]) -> None:
    """Wait until something holds, in the page or elsewhere. Raises TimeoutError.

    Playwright's `wait_for_function` needs `eval`, which the gateway's policy forbids.
    """
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        page.evaluate("new Promise(requestAnimationFrame)")


class Viewer:
    """Somebody in front of one console."""

    def __init__(self, page: Page, vm: str) -> None:
        self.page = page
        self.vm = vm
        self.colour = list(guest_image.colour(vm))
        self.complaints: set[str] = set()
        listen(page, self.complaints)
        page.set_default_timeout(TIMEOUT_MS)
        page.add_init_script(READ_SCREEN)

    def _wait(self, for_what: str, condition: str, arg: object) -> None:
        """Wait until a JavaScript function returns something true, or fail."""
        try:
            wait_until(self.page, lambda: self.page.evaluate(condition, arg))
        except TimeoutError:
            status = self.page.evaluate(
                "document.querySelector('#noVNC_status, #notice')?.textContent"
            )
            pixel = self.page.evaluate("Array.from(guest.pixels(0, 0, 1, 1) ?? [])")
            raise AssertionError(
                f"{self.vm}: waited for {for_what} in vain; the background shall be {self.colour},"
                f" the first pixel is {pixel[:3] or 'missing'}; the page says {status!r};"
                f" complaints: {sorted(self.complaints)}"
            ) from None

    def _row(self, row: int) -> Any:
        """Return the pixels of a row of the guest's screen."""
        return self.page.evaluate("row => guest.row(row)", row)

    def see_guest(self) -> None:
        """Wait for the guest: its name, perhaps an echo, and everywhere else its very colour."""
        self._wait(
            "the guest's picture",
            """([colour, nameRow, echoRow, length]) => guest.characters(colour)?.every(
                 (count, row) => row === echoRow || count === (row === nameRow ? length : 0))""",
            [self.colour, NAME_ROW, ECHO_ROW, len(self.vm)],
        )

    def clear_echo(self) -> None:
        """Press Enter and wait until the echo row is empty."""
        self.page.keyboard.press("Enter")
        self._wait(
            "an empty echo row",
            "([colour, row]) => guest.characters(colour)?.[row] === 0",
            [self.colour, ECHO_ROW],
        )

    def see_echo(self, count: int | None = None) -> None:
        """Wait until the echo is the name, or so many letters of it."""
        count = len(self.vm) if count is None else count
        self._wait(
            f"the echo of {self.vm[:count]!r}",
            """([echoRow, nameRow, columns]) => {
                 const echo = guest.row(echoRow, columns);
                 return echo && echo === guest.row(nameRow, columns);
               }""",
            [ECHO_ROW, NAME_ROW, MARGIN + count],
        )

    def type_name(self) -> None:
        """Type the VM's name, until the echo looks exactly like the name that the guest shows.

        Each key waits for the echo of the one before it: the guest loses keys in a burst.
        """
        for count, letter in enumerate(self.vm, start=1):
            self.page.keyboard.press(letter)
            self.see_echo(count)

    def use(self) -> None:
        """See the guest, type on it, and see that exactly what was typed has changed."""
        self.see_guest()
        name = self._row(NAME_ROW)
        self.page.locator(SCREEN).first.click()
        self.clear_echo()
        empty = self._row(ECHO_ROW)
        self.type_name()
        assert self._row(ECHO_ROW) != empty, f"{self.vm}: the echo cannot be seen"
        assert self._row(NAME_ROW) == name, f"{self.vm}: the name has changed"
        self.see_guest()

    def photograph(self, file: Path) -> None:
        """Save how the page looks once noVNC's message has gone, which covers the guest's name."""
        self.page.locator("#noVNC_status:not(.noVNC_open)").wait_for(state="attached")
        self.page.screenshot(path=file, animations="disabled")
