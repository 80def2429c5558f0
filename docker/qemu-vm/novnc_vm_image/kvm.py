# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Whether KVM works here: QEMU is asked, since the device alone does not tell."""

from __future__ import annotations

import os
import subprocess

DEVICE = "/dev/kvm"
CPUS = ("host", "host,-arch-capabilities")
"""What a guest may be given, the best first.

Where the machine is a VM itself, its hypervisor may announce arch-capabilities that it then
refuses to a guest.
"""
_SECONDS = 5
"""For one trial; it takes a tenth of one where nobody else is at work."""


def find_cpu(qemu: str, device: str = DEVICE) -> tuple[str, str]:
    """Return the processor for ``-cpu`` that KVM gives a guest here, and what to tell about it.

    Args:
        qemu: Path of QEMU's program.
        device: Path of KVM's device.

    Returns:
        The processor, empty where KVM does not work, and a word on it or why there is none.
    """
    try:
        owner = os.stat(device).st_gid
    except OSError:
        return "", f"no KVM, as there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return "", f"no KVM, as uid {os.getuid()} may not open {device} of group {owner}"
    said = ""
    for cpu in CPUS:
        said = _trial(qemu, cpu)
        if not said:
            return cpu, f"KVM ({cpu})"
    return "", f"no KVM, as it does not work: {said}"


def _trial(qemu: str, cpu: str) -> str:
    """Start a VM without anything and end it before it runs; return what QEMU complains about.

    One that is merely slow, as when many start at once, complains about nothing.
    """
    arguments = ["-accel", "kvm", "-cpu", cpu, "-m", "16", "-nodefaults", "-display", "none"]
    try:
        done = subprocess.run(
            [qemu, *arguments, "-S", "-monitor", "stdio"],
            input="quit\n",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    faults = [line for line in lines if " warning: " not in line]
    return (faults or lines or [f"QEMU ended with {done.returncode}"])[0]
