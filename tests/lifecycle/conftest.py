"""What the life cycle tests stand on: one host, and lists of consoles to put on it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.fleet import Console, Playbook, consoles, finished, hosts, start_playbook
from tests.harness.project import ROOT

UNITS = ROOT / "tests" / "lifecycle" / "consoles.yml"
VMS: dict[str, Any] = {"one": 5900, "two": 5901, "three": 5902}
"""The list that every test starts from, as in the scenario's inventory."""


def converge(vms: object, **variables: object) -> Playbook:
    """Make the host's consoles equal a list, without installing anything."""
    return finished(start(vms, **variables))


def start(vms: object, **variables: object) -> subprocess.Popen[str]:
    """Start what `converge` does, and do not wait for it."""
    return start_playbook(UNITS, "-e", json.dumps({"novnc_vms": vms, **variables}))


@pytest.fixture
def host() -> Any:
    """Return the scenario's host (a testinfra host)."""
    return hosts()["kvm3"]


@pytest.fixture
def find() -> Callable[[str], Console]:
    """Return a function that finds a console of the host as it is now, by its VM's name."""
    return lambda vm: next(one for one in consoles() if one.vm == vm)


@pytest.fixture(autouse=True)
def start_list() -> None:
    """Start each test from the same list."""
    run = converge(VMS, novnc_console_prune_limit=100)
    assert run.status == 0, run.output


def files(host: Any) -> str:
    """Return every file and link below /etc with its content's hash, mode and owner."""
    command = (
        "find /etc -xdev ! -type d -printf '%p %m %u %g %l\\n' | sort;"
        " find /etc -xdev -type f -print0 | sort -z | xargs -0 sha256sum"
    )
    return str(host.check_output(command))
