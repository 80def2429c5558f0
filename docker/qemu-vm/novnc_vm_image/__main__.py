# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Become QEMU."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import guest_image
from ansible_collections.novnc.fleet.plugins.module_utils.notation import UnixTarget
from novnc_image.environment import WrittenError, run

from novnc_vm_image.kvm import find_cpu
from novnc_vm_image.settings import Settings, arguments, read_settings

QEMU = "/usr/bin/qemu-system-x86_64"
KEEP_DISK = "-snapshot"
"""Of QEMU_ARGS: what the guest writes is kept elsewhere, and forgotten."""
_OWN_GROUP = 0o007
"""A VNC socket may be opened by its directory's group, and by nobody else."""


def main() -> None:
    """Become the VM. Raises WrittenError."""
    settings = read_settings(os.environ)
    disk = _disk(settings)
    if isinstance(settings.vnc, UnixTarget):
        directory = os.path.dirname(settings.vnc.path)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise WrittenError(
                f"VNC is '{settings.vnc}', and uid {os.getuid()} cannot write to {directory};"
                " mount a volume there that it may write to"
            )
    cpu, told = find_cpu(QEMU)
    print(f"{settings.name}: VNC at {settings.vnc}, {told}", file=sys.stderr)
    os.umask(_OWN_GROUP)
    command = [QEMU, *arguments(settings, disk, cpu)]
    os.execv(QEMU, command)  # noqa: S606 (there is no shell, and none is wanted)


def _disk(settings: Settings) -> str:
    """Return the file of the disk: the one that is written, or the test guest's, in memory."""
    if settings.disk:
        needed = os.R_OK if KEEP_DISK in settings.more else os.R_OK | os.W_OK
        if not os.access(settings.disk, needed):
            raise WrittenError(
                f"DISK is {settings.disk!r}, which uid {os.getuid()} cannot read and write;"
                " mount it, and let that user have it"
            )
        return settings.disk
    image = guest_image.image(guest_image.BOOT_SECTOR.read_bytes(), settings.name)
    descriptor = os.memfd_create("guest", 0)
    path = f"/proc/self/fd/{descriptor}"
    Path(path).write_bytes(image)
    return path


if __name__ == "__main__":
    run(main)
