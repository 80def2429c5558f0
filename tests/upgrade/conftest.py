"""What the upgrade tests stand on: one host, versions to go to, and people who look at pages."""

from __future__ import annotations

import functools
import hashlib
import http.client
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.harness.fleet import Console, Playbook, consoles, hosts, run_playbook
from tests.harness.project import ROOT
from tests.harness.releases import archive

OLD = {"novnc_version": "1.3.0", "websockify_version": "0.12.0"}
NEW = {"novnc_version": "1.6.0", "websockify_version": "0.13.0"}

PAGES = ("vnc.html", "app/ui.js", "core/rfb.js", "core/websock.js", "package.json")
"""Files of which no two versions have the same."""


def converge(variables: dict[str, Any]) -> Playbook:
    """Run consoles.yml with other variables than the inventory's."""
    return run_playbook(ROOT / "playbooks" / "consoles.yml", "-e", json.dumps(variables))


@pytest.fixture
def host() -> Any:
    """Return the scenario's host (a testinfra host)."""
    return hosts()["kvm11"]


@pytest.fixture
def find() -> Callable[[str], Console]:
    """Return a function that finds a console by its VM's name."""
    return lambda vm: next(one for one in consoles() if one.vm == vm)


@pytest.fixture(autouse=True)
def old(host: Any, made: list[str]) -> None:
    """Start each test from the old versions; a host that has them is left as it is."""
    if [tree(host)] != made:
        run = converge(OLD)
        assert run.status == 0, run.output
        made[:] = [tree(host)]


@pytest.fixture(scope="session")
def made() -> list[str]:
    """Return where it is kept what the host was like with the old versions, once it has them."""
    return []


@functools.cache
def version_of() -> dict[tuple[str, str], str]:
    """Return which version a page's content belongs to, by page and hash."""
    found = {}
    for version in (OLD["novnc_version"], NEW["novnc_version"]):
        with tarfile.open(archive(version)) as tar:
            for page in PAGES:
                content = tar.extractfile(f"noVNC-{version}/{page}")
                assert content is not None
                found[page, hashlib.sha256(content.read()).hexdigest()] = version
    assert len(found) == 2 * len(PAGES), "the pages do not tell the versions apart"
    return found


@dataclass
class Browser:
    """Somebody who loads a console's page, and keeps what it was told to keep."""

    console: Console
    kept: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Last-Modified and content of each page."""

    def load(self) -> set[str]:
        """Load the page; return the versions that its files are of.

        Raises AssertionError at an answer that is neither 200 nor 304, OSError without any.
        """
        return {version_of()[page, hashlib.sha256(self._get(page)).hexdigest()] for page in PAGES}

    def _get(self, page: str) -> bytes:
        modified, content = self.kept.get(page, ("", b""))
        connection = http.client.HTTPConnection(*self.console.address, timeout=30)
        headers = {"If-Modified-Since": modified} if modified else {}
        connection.request("GET", f"/{page}", headers=headers)
        answer = connection.getresponse()
        new = answer.read()
        connection.close()
        if answer.status == http.client.NOT_MODIFIED and modified:
            return content
        assert answer.status == http.client.OK, f"/{page} answers {answer.status}"
        self.kept[page] = (answer.headers["Last-Modified"], new)
        return new


def load(console: Console) -> set[str]:
    """Load a console's page for the first time; as `Browser.load`."""
    return Browser(console).load()


@dataclass
class Watch:
    """What somebody saw who loaded a page again and again."""

    seen: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def changes(self) -> list[str]:
        """The versions in the order in which they were seen, each once in a row."""
        return [one for n, one in enumerate(self.seen) if n == 0 or self.seen[n - 1] != one]


@contextmanager
def watched(console: Console, pause: float) -> Iterator[Watch]:
    """Load a console's page all the time.

    Args:
        console: The console.
        pause: Seconds between two loads.
    """
    watch, over, browser = Watch(), threading.Event(), Browser(console)

    def look() -> None:
        while not over.is_set():
            try:
                found = browser.load()
            except (OSError, AssertionError, KeyError, http.client.HTTPException) as error:
                watch.faults.append(repr(error))
            else:
                if len(found) == 1:
                    watch.seen.append(found.pop())
                else:
                    watch.faults.append(f"one page of several versions: {found}")
            over.wait(pause)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def tree(host: Any) -> str:
    """Return every file and link that the roles may touch, with its content's hash and mode."""
    places = "/opt /etc/systemd/system /etc/novnc-fleet /usr/local/lib"
    command = (
        f"find {places} -xdev ! -type d -printf '%p %m %u %l\\n' | sort;"
        f" find {places} -xdev -type f -print0 | sort -z | xargs -0 sha256sum;"
        f" find {places} -xdev -type d | sort"
    )
    return str(host.check_output(command))


def forget(host: Any, versions: dict[str, str]) -> None:
    """Remove versions that are not in force."""
    for program in ("novnc", "websockify"):
        path, version = f"/opt/{program}", versions[f"{program}_version"]
        host.check_output(f"rm -rf {path}/{version} {path}/.{version}.json")
