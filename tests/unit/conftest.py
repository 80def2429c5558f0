# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A directory as a process in front of two hosts, an administrator, and one who may do less."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.directory import TIMEOUT, Directory, Visitor
from tests.harness.simulated import Endpoints


def vm(name: str, state: str = "running", host: str = "") -> dict[str, str]:
    """Return a VM, the same on every host unless one is named."""
    own = str(uuid.uuid5(uuid.NAMESPACE_DNS, host + name))
    return {"vm": name, "uuid": own, "title": name.upper(), "state": state}


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Endpoints]:
    with Endpoints(tmp_path / "pki", ["kvm1", "kvm2"]) as found:
        found["kvm1"].vms = [vm("web"), vm("db"), vm("both", host="kvm1"), vm("idle", "off")]
        found["kvm2"].vms = [vm("mail"), vm("both", host="kvm2"), vm("zwei Wörter")]
        yield found


@pytest.fixture
def directory(tmp_path: Path, hosts: Endpoints) -> Iterator[Directory]:
    found = Directory(tmp_path, hosts)
    found.settings["rules"] = [
        {"match": "db", "control": ["user:bob"]},
        {"match": "web", "watch": ["user:bob"]},
        {"match": "both", "hosts": "kvm1", "control": ["user:bob"]},
    ]
    yield found
    found.close()


@pytest.fixture
def ada(directory: Directory) -> Visitor:
    return directory.visitor("ada")


@pytest.fixture
def bob(directory: Directory, ada: Visitor) -> Visitor:
    """Log him in, and her; the directory runs from here on."""
    found = directory.visitor("bob")
    directory.start()
    assert (ada.log_in().status, found.log_in().status) == (303, 303)
    return found


def names(visitor: Visitor) -> list[tuple[str, str]]:
    return [(one["vm"], one["may"]) for one in visitor.ask("GET", "/consoles.json").json]


def sees(visitor: Visitor, name: str, state: str) -> None:
    """Wait until somebody sees a VM in a state."""
    while not any(
        one["vm"] == name and one["state"] == state
        for one in visitor.ask("GET", "/consoles.json").json
    ):
        pass  # each question is an answer of the directory's


def opened(directory: Directory, hosts: Endpoints, visitor: Visitor, name: str = "db") -> str:
    """Open a console whose VM is on kvm1; it has reached its endpoint."""
    console = visitor.console(name)
    hosts["kvm1"].begin(console, vm=name, uuid=vm(name)["uuid"], user=visitor.name, mode="control")
    return console


def is_ended(hosts: Endpoints, console: str) -> None:
    """Wait until somebody has ended a console."""
    while hosts["kvm1"].asked.get(timeout=TIMEOUT)[0] != console:
        pass


def change(directory: Directory, statement: str) -> None:
    """Change its database while it is away."""
    with sqlite3.connect(directory.run / "state.db") as db:
        db.execute(statement)
    db.close()
