"""Which processor a VM in a container gets from KVM."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from novnc_vm_image import kvm

THERE = "/dev/null"
"""A device that may be opened; what it is good for is for QEMU to say."""


@pytest.fixture
def qemu(tmp_path: Path) -> Path:
    """Return where QEMU's program is to be."""
    return tmp_path / "qemu"


def program(path: Path, script: str) -> str:
    """Write a program that takes QEMU's place; return its path."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_hosts_own_is_the_first_choice(qemu: Path) -> None:
    assert kvm.find_cpu(program(qemu, "exit 0"), THERE) == ("host", "KVM (host)")


def test_what_is_announced_and_refused_is_left_out(qemu: Path) -> None:
    script = 'case "$*" in *,-arch-capabilities*) ;; *) kill -ABRT $$ ;; esac'
    cpu = "host,-arch-capabilities"
    assert kvm.find_cpu(program(qemu, script), THERE) == (cpu, f"KVM ({cpu})")


def test_a_fault_is_told_and_no_warning(qemu: Path) -> None:
    script = "echo 'qemu: warning: some' >&2; echo 'qemu: too old' >&2; exit 1"
    found = kvm.find_cpu(program(qemu, script), THERE)
    assert found == ("", "no KVM, as it does not work: qemu: too old")


def test_one_that_says_nothing_is_told(qemu: Path) -> None:
    cpu, told = kvm.find_cpu(program(qemu, "exit 3"), THERE)
    assert (cpu, told) == ("", "no KVM, as it does not work: QEMU ended with 3")


def test_a_slow_one_is_no_refusal(qemu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_SECONDS", 0.2)
    assert kvm.find_cpu(program(qemu, "exec sleep 10"), THERE)[0] == "host"


def test_a_device_that_is_not_there_or_closed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "kvm"
    assert kvm.find_cpu("/nowhere", str(device))[1].endswith(f"there is no {device}")
    device.touch()
    os.chown(device, -1, os.getgid())
    # Root, who may run this, may open everything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    cpu, told = kvm.find_cpu("/nowhere", str(device))
    assert cpu == ""
    assert told.endswith(f"may not open {device} of group {os.getgid()}")
