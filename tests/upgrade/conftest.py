"""What the upgrade tests stand on: one host, versions to go to, and people who look at pages."""

from __future__ import annotations

import functools
import hashlib
import http.client
import json
import tarfile
import threading
import time
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
def old() -> None:
    """Start each test from the old versions."""
    run = converge(OLD)
    assert run.status == 0, run.output


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


def load(console: Console) -> set[str]:
    """Load a console's page as a browser does; return the versions that its files are of.

    Raises AssertionError at any answer that is not 200, OSError if there is none.
    """
    found = set()
    for page in PAGES:
        connection = http.client.HTTPConnection(*console.address, timeout=30)
        connection.request("GET", f"/{page}")
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status == 200, f"{console.vm}: /{page} answers {answer.status}"
        found.add(version_of()[page, hashlib.sha256(content).hexdigest()])
    return found


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
    watch, over = Watch(), threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                found = load(console)
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


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until a condition holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.2)
