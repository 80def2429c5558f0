"""The image of a VM: what it does without KVM."""

from __future__ import annotations

import pytest

from tests.harness.containers import logs, run, start, wait_healthy


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
