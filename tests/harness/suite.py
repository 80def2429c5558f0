"""Run parts of the test suite and count what they came to.

Usage: ``python -m tests.harness.suite PART...`` with the parts ``lint``,
``unit``, ``pythons``, ``scenario:NAME`` and ``browser``. Every part is run,
whatever the others come to, three of them at a time; what one prints appears when
it ends (``.cache/log/PART.log`` has it before). At the end it names what failed,
each with the beginning of what it complained about; the last line is ``total: N
passed, N failed, N skipped`` and the exit status 1 if anything failed. A linter
counts as one test, and so does each scenario's way through molecule, beside the
tests it runs.
"""

from __future__ import annotations

import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TextIO

from tests.harness import demo
from tests.harness.project import BIN, CACHE, ENV, ROOT

JUNIT, LOG = CACHE / "junit", CACHE / "log"
DEMO = "default"
"""The scenario that `make demo` leaves running."""
ON_THE_DEMO = (f"scenario:{DEMO}", "browser")
"""Parts that share the demo's hosts, and run one after the other."""
AT_ONCE = 3
"""Parts that run at the same time: of two, two cores wait for a quarter of the time."""
LONGEST = (
    f"scenario:{DEMO}",
    *("scenario:gateway", "scenario:containers", "scenario:docs", "scenario:endpoint"),
    *("scenario:lifecycle", "scenario:upgrade", "pythons", "scenario:libvirt"),
)
"""Parts that begin first, in this order, so that none of them is waited for alone at the end."""
SCRIPT = ROOT / "scripts" / "setup"
SET_UP = {"scenario:containers": "containers", "pythons": "pythons"}
"""What `SCRIPT` does at the beginning of a part, as nothing else has to wait for it."""
_SAID = 300
"""Characters of a complaint that are repeated at the end."""

LINTERS: dict[str, list[str]] = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy plugins": ["mypy", "playbooks/collections/ansible_collections/novnc/fleet/plugins"],
    "mypy endpoint": ["mypy", "roles/novnc_endpoint/files"],
    "mypy command": ["mypy", "roles/novnc_console/files/novnc_console_command"],
    "mypy directory": ["mypy", "roles/novnc_gateway/files"],
    "mypy images": [
        "mypy",
        *("docker/shared", "docker/console", "docker/endpoint", "docker/gateway", "docker/qemu-vm"),
    ],
    "mypy tests": ["mypy", "tests", "docker/test-host"],
    "yamllint": ["yamllint", "--strict", "."],
    "ansible-lint": ["ansible-lint", "--strict"],
    "shellcheck": [
        "shellcheck",
        *(
            "scripts/setup",
            ".ci/run",
            "docker/run",
            "docker/shared/install",
            "docker/test-host/boot",
        ),
    ],
    "hadolint": [
        "hadolint",
        *(f"docker/{name}/Dockerfile" for name in ("console", "endpoint", "gateway", "qemu-vm")),
    ],
}


@dataclass
class Counts:
    """Numbers of tests, and a line on each that failed."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Add another count to this one."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run(out: TextIO, *command: str) -> bool:
    """Run a program, of the virtualenv or by its path; return whether it succeeded.

    What it prints goes to ``out``.
    """
    print(f"+ {' '.join(command)}", file=out, flush=True)
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        env=ENV,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode == 0


def one(passed: bool, what: str) -> Counts:
    """Return the count of a single test."""
    return Counts(passed=1) if passed else failure(what)


def failure(what: str) -> Counts:
    """Return the count of what failed."""
    return Counts(failed=1, failures=[what])


def read_junit(path: Path) -> Counts:
    """Return what a pytest run reported; none, or one without a test, is a failure."""
    if not path.exists():
        return failure("no test was run")
    counts = Counts()
    root = ET.parse(path).getroot()  # noqa: S314 (pytest's own report)
    for suite in root.iter("testsuite"):
        tests, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        counts.add(Counts(max(0, tests - failed - skipped), failed, skipped))
    for case in root.iter("testcase"):
        for complaint in (*case.iter("failure"), *case.iter("error")):
            said = " ".join(complaint.get("message", "").split())[:_SAID]
            counts.failures.append(f"{case.get('classname')}::{case.get('name')}: {said}")
    return counts if counts != Counts() else failure("there was no test")


def lint(out: TextIO) -> Counts:
    """Run every linter."""
    counts = Counts()
    for name, command in LINTERS.items():
        counts.add(one(run(out, *command), name))
    return counts


def pytest(out: TextIO, part: str) -> Counts:
    """Run the pytest tests of one directory."""
    report = JUNIT / f"{part}.xml"
    report.unlink(missing_ok=True)
    run(out, "pytest", f"tests/{part}", "-q", f"--junitxml={report}")
    return read_junit(report)


def scenario(out: TextIO, name: str) -> Counts:
    """Run one molecule scenario; the demo's hosts are left for what comes after it."""
    report = JUNIT / f"scenario-{name}.xml"
    report.unlink(missing_ok=True)
    if name == DEMO and demo.is_running():
        print("The demo is running: its hosts are used and left running.", file=out, flush=True)
        steps = [["converge"], ["idempotence"], ["verify"]]
    else:
        # molecule may remember hosts that are gone, so they are destroyed first in any case.
        steps = [["destroy"], ["test", "--destroy=never"]] if name == DEMO else [["test"]]
    done = all(run(out, "molecule", *step, "--scenario-name", name) for step in steps)
    counts = one(done, "molecule")
    counts.add(read_junit(report))
    return counts


def browser(out: TextIO) -> Counts:
    """Run the browser tests on the demo, which is started if it is not there."""
    if not demo.is_running():
        demo.up()
    return pytest(out, "browser")


def run_part(out: TextIO, part: str) -> Counts:
    """Run one part of the suite by its name."""
    if (wanted := SET_UP.get(part)) and not run(out, str(SCRIPT), wanted):
        return failure(f"scripts/setup {wanted} has failed")
    kind, _, name = part.partition(":")
    match kind:
        case "lint":
            return lint(out)
        case "unit" | "pythons":
            return pytest(out, part)
        case "scenario":
            return scenario(out, name)
        case "browser":
            return browser(out)
    raise ValueError(f"'{part}' is no part of the suite:\n{__doc__}")


class Suite:
    """The parts that are asked for, and what they have come to so far."""

    def __init__(self, parts: list[str]) -> None:
        self.total = Counts()
        self.lines: list[str] = []
        shared = [part for part in parts if part in ON_THE_DEMO]
        lanes = [shared] * bool(shared) + [[part] for part in parts if part not in shared]
        order = {part: place for place, part in enumerate(LONGEST)}
        self._lanes = sorted(lanes, key=lambda lane: order.get(lane[0], len(order)))
        self._printing = Lock()

    def run(self) -> None:
        """Run all of them."""
        if len(self._lanes) == 1:
            for part in self._lanes[0]:
                print(f"\n=== {part}", flush=True)
                self._run(part, sys.stdout)
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(self._run_lane, self._lanes):
                pass

    def _run_lane(self, lane: list[str]) -> None:
        for part in lane:
            path = LOG / f"{part.replace(':', '-')}.log"
            with path.open("w", encoding="utf-8") as out:
                self._run(part, out)
            printed = path.read_text(encoding="utf-8", errors="replace")
            with self._printing:
                print(f"\n=== {part}\n{printed}", flush=True)

    def _run(self, part: str, out: TextIO) -> None:
        start = time.monotonic()
        print(f"==> {part} begins", file=sys.stderr, flush=True)
        try:
            counts = run_part(out, part)
        except (Exception, SystemExit) as error:
            print(f"{type(error).__name__}: {error}", file=out, flush=True)
            counts = failure(f"{type(error).__name__}: {error}")
        line = f"{part} ({time.monotonic() - start:.0f} s): {counts}"
        print(f"==> {line}", file=sys.stderr, flush=True)
        with self._printing:
            self.lines += [line, *(f"  FAILED {what}" for what in counts.failures)]
            self.total.add(counts)


def main(parts: list[str]) -> int:
    """Run the parts, print the counts, return the exit status."""
    JUNIT.mkdir(parents=True, exist_ok=True)
    LOG.mkdir(parents=True, exist_ok=True)
    was_running = demo.is_running()
    suite = Suite(parts)
    suite.run()
    if demo.is_running() and not was_running:
        with suppress(SystemExit):  # said already, and the counts are still to come
            demo.down()
    print("\n" + "\n".join(suite.lines))
    print(f"total: {suite.total}", flush=True)
    return 1 if suite.total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
