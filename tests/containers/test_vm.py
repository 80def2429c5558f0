"""The image of a VM: how it comes to its processor."""

from __future__ import annotations

import pytest

from tests.harness.containers import HARDENED, PROJECT, health, image, logs, run
from tests.harness.waiting import wait_until


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "no KVM, as there is no /dev/kvm"),
        (("--device", "/dev/null:/dev/kvm"), "no KVM, as it does not work: qemu-system-x86_64:"),
    ],
    ids=["no device", "another device"],
)
def test_without_kvm_it_runs_and_says_why(options: tuple[str, ...], words: str) -> None:
    name = f"{PROJECT}-kvm"
    quick = ("--health-interval", "1s", "--network", "none")
    run("docker", "run", "-d", "--name", name, *HARDENED, *quick, *options, image("qemu-vm"))
    try:
        wait_until(lambda: health(name) == "healthy", 60, "a VM that greets")
        assert words in logs(name)
    finally:
        run("docker", "rm", "-f", name)
