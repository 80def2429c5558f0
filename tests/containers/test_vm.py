"""The image of a VM: without KVM, and with a disk that it may not have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.containers import HARDENED, image, logs, run, start, wait_healthy


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "no KVM, as there is no /dev/kvm"),
        (("--device", "/dev/null:/dev/kvm"), "no KVM, as it does not work: qemu-system-x86_64:"),
    ],
    ids=["no device", "another device"],
)
def test_without_kvm_it_runs_and_says_why(options: tuple[str, ...], words: str) -> None:
    quick = ("--health-interval", "1s", "--network", "none")
    name = start("kvm", "qemu-vm", *quick, *options, environ={})
    try:
        wait_healthy([name])
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
    options = ("--network", "none", "--tmpfs", "/var/tmp", "-v", f"{disk}:/disk.raw")  # noqa: S108
    said = ("-e", "DISK=/disk.raw", "-e", "MEMORY=64", "-e", f"QEMU_ARGS={arguments}")
    if status is None:
        name = start("disk", "qemu-vm", "--health-interval", "1s", *options, *said, environ={})
        try:
            wait_healthy([name])
        finally:
            run("docker", "rm", "--force", "--volumes", name)
        return
    done = subprocess.run(
        ["docker", "run", "--rm", *HARDENED, *options, *said, image("qemu-vm")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status
    assert "DISK is '/disk.raw', which uid 65532 cannot read and write" in done.stderr
