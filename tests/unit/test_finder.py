"""Which VMs the endpoint remembers, and what makes it look again."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.process import Process
from ansible_collections.novnc.fleet.plugins.module_utils.vm import Vm, tcp_display
from novnc_endpoint.finder import Finder

UUID = "10000000-0000-4000-8000-000000000000"
DISPLAYS = (tcp_display("127.0.0.1", 5900),)
WEB01 = Vm("web01", "web01", UUID, "running", "libvirt", DISPLAYS, process=Process(7, 100))


@dataclass
class Host:
    """What the kernel shows of a host, and what a look at it finds."""

    root: Path
    vms: list[Vm] = field(default_factory=lambda: [WEB01])

    def __post_init__(self) -> None:
        self.consoles = self.root / "consoles.json"
        self.consoles.write_text("[]")
        self.finder = Finder(
            lambda: self.vms, consoles=str(self.consoles), proc=str(self.root / "proc")
        )
        self.process(1, "/sbin/init")
        self.process(7, "qemu-system-x86_64", started=100)

    def process(self, pid: int, program: str, *, started: int = 1, state: str = "S") -> None:
        """Have a process."""
        path = self.root / "proc" / str(pid)
        path.mkdir(parents=True, exist_ok=True)
        fields = ["1"] * 18 + [str(started)]
        (path / "stat").write_text(f"{pid} (qemu (x) y) {state} {' '.join(fields)} 0 0\n")
        (path / "cmdline").write_bytes(program.encode() + b"\0")
        (path / "status").write_text(f"NSpid:\t{pid}\n")

    def look(self) -> None:
        """Look at the host."""
        asyncio.run(self.finder.vms())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_nothing_is_remembered_before_the_first_look(host: Host) -> None:
    assert host.finder.remembered("web01") is None


@pytest.mark.parametrize("name", ["web01", UUID, UUID.upper()])
def test_a_vm_whose_process_runs_on_is_remembered(host: Host, name: str) -> None:
    host.look()
    host.process(8, "/usr/bin/ssh")
    assert host.finder.remembered(name) == WEB01
    assert host.finder.remembered("web02") is None


@pytest.mark.parametrize(
    "now",
    [
        replace(WEB01, process=None),
        replace(WEB01, state="off"),
        replace(WEB01, state="unknown"),
        replace(WEB01, displays=()),
    ],
)
def test_what_only_a_look_can_tell_is_not(host: Host, now: Vm) -> None:
    host.vms = [now]
    host.look()
    assert host.finder.remembered("web01") is None


def test_a_name_of_two_is_not_even_where_one_has_gone_since(host: Host) -> None:
    host.vms = [WEB01, replace(WEB01, uuid="20000000-0000-4000-8000-000000000000")]
    host.look()
    assert host.finder.remembered("web01") is None
    assert host.finder.remembered(UUID) == WEB01


def test_a_process_that_has_ended_or_is_another_one_is_no_longer_believed(host: Host) -> None:
    host.look()
    host.process(7, "qemu-system-x86_64", started=101)
    assert host.finder.remembered("web01") is None
    host.process(7, "qemu-system-x86_64", started=100, state="Z")
    assert host.finder.remembered("web01") is None
    shutil.rmtree(host.root / "proc" / "7")
    assert host.finder.remembered("web01") is None


def test_a_vm_that_has_come_may_have_the_same_name(host: Host) -> None:
    host.look()
    host.process(9, "qemu-system-x86_64")
    assert host.finder.remembered("web01") is None
    host.look()
    assert host.finder.remembered("web01") == WEB01


def test_typed_consoles_that_have_changed_are_read(host: Host) -> None:
    host.look()
    kept = host.consoles.stat()
    new = host.root / "new"
    new.write_text("[]")
    os.utime(new, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    new.rename(host.consoles)
    assert host.finder.remembered("web01") is None
    host.look()
    assert host.finder.remembered("web01") == WEB01
    host.consoles.unlink()
    assert host.finder.remembered("web01") is None


def test_what_is_forgotten_is_looked_up(host: Host) -> None:
    host.look()
    host.finder.forget()
    assert host.finder.remembered("web01") is None


def test_a_look_is_not_believed_for_ever(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("novnc_endpoint.finder.time.monotonic", lambda: now[0])
    host.look()
    now[0] += 59
    assert host.finder.remembered("web01") == WEB01
    now[0] += 2
    assert host.finder.remembered("web01") is None
