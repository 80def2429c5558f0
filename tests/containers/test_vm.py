"""The image of a VM: without KVM, and with a disk that it may not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.containers import attempt, logs, run, start, wait_well


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "no KVM, as there is no /dev/kvm"),
        (("--device", "/dev/null:/dev/kvm"), "no KVM, as it does not work: qemu-system-x86_64:"),
    ],
    ids=["no device", "another device"],
)
def test_without_kvm_it_runs_and_says_why(options: tuple[str, ...], words: str) -> None:
    name = start("kvm", "qemu-vm", "--network", "none", *options, environ={})
    try:
        wait_well([name])
        assert words in logs(name)
    finally:
        run("docker", "rm", "--force", "--volumes", name)


@pytest.mark.parametrize(
    ("mode", "arguments", "status"),
    [(0o644, "", 2), (0o644, "-snapshot", None), (0o600, "-snapshot", 2)],
    ids=["read-only", "read-only snapshot", "unreadable"],
)
def test_its_disk_has_to_be_its_own(
    tmp_path: Path, mode: int, arguments: str, status: int | None
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    disk.chmod(mode)
    options = ("--tmpfs", "/var/tmp", "-v", f"{disk}:/disk.raw")  # noqa: S108 (the container's own)
    said = {"DISK": "/disk.raw", "MEMORY": "64", "QEMU_ARGS": arguments}
    if status is None:
        name = start("disk", "qemu-vm", "--network", "none", *options, environ=said)
        try:
            wait_well([name])
        finally:
            run("docker", "rm", "--force", "--volumes", name)
        return
    ended, _, complaint = attempt("qemu-vm", *options, environ=said)
    assert ended == status
    assert "DISK is '/disk.raw', which uid 65532 cannot read and write" in complaint
