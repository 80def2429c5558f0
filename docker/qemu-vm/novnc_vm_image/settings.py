# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the environment of a VM's container comes to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.entry import EntryError, parse_name
from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    TcpTarget,
    UnixTarget,
    bracketed,
    parse_address,
    parse_target,
)
from novnc_image.environment import WrittenError, value

SOCKETS = "/run/novnc-vms"
"""Where VNC sockets are, unless another place is written; a volume that others mount too."""
_FIRST_PORT = 5900
"""QEMU numbers displays from here on."""
_FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhdx")


@dataclass(frozen=True)
class Settings:
    """A VM.

    Attributes:
        name: Its name, which its VNC server announces.
        vnc: Where that listens.
        disk: Path of its disk; empty for the test guest.
        disk_format: As QEMU calls it. It is never guessed from what a guest may have written.
        memory: MiB.
        cpus: Number.
        more: Further arguments of QEMU.
    """

    name: str
    vnc: TcpTarget | UnixTarget
    disk: str
    disk_format: str
    memory: int
    cpus: int
    more: tuple[str, ...]


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return what is written. Raises WrittenError."""
    text = value(environ, "VM_NAME", "vm")
    try:
        name = parse_name(text)
    except EntryError as error:
        raise WrittenError(f"VM_NAME is {text!r}: {error}") from None
    disk = value(environ, "DISK")
    if disk and not disk.startswith("/"):
        raise WrittenError(f"DISK is {disk!r}; write the absolute path of a file that is mounted")
    return Settings(
        name=name,
        vnc=_vnc(value(environ, "VNC", f"unix:{SOCKETS}/{name}.vnc")),
        disk=disk,
        disk_format=_disk_format(value(environ, "DISK_FORMAT"), disk),
        memory=_number(environ, "MEMORY", "1024" if disk else "16"),
        cpus=_number(environ, "CPUS", "1"),
        more=_words(value(environ, "QEMU_ARGS")),
    )


def _vnc(text: str) -> TcpTarget | UnixTarget:
    try:
        found = parse_target(text)
    except ValueError as error:
        raise WrittenError(f"VNC: {error}") from None
    if isinstance(found, TcpTarget):
        if parse_address(found.host) is None:
            raise WrittenError(f"VNC is {text!r}, and {found.host!r} is no IP address")
        if found.port < _FIRST_PORT:
            raise WrittenError(f"VNC is {text!r}; QEMU's ports begin at {_FIRST_PORT}")
    return found


def _disk_format(text: str, disk: str) -> str:
    found = text or next((one for one in _FORMATS if disk.endswith(f".{one}")), "raw")
    if found not in _FORMATS:
        raise WrittenError(f"DISK_FORMAT is {text!r}; there are: {', '.join(_FORMATS)}")
    return found


def _number(environ: Mapping[str, str], name: str, default: str) -> int:
    text = value(environ, name, default)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10**7):
        raise WrittenError(f"{name} is {text!r}, which is no number of 1 or more")
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise WrittenError(f"QEMU_ARGS cannot be split into words: {error}") from None


def arguments(settings: Settings, disk: str, cpu: str) -> list[str]:
    """Return QEMU's arguments.

    Args:
        settings: The VM.
        disk: The file of its disk, the test guest's too.
        cpu: The processor that KVM gives it; empty for TCG.
    """
    guest = ["-machine", "pc,acpi=off"] if not settings.disk else ["-machine", "q35"]
    # The test guest is small: many of these run on one machine.
    tcg = "tcg,tb-size=16" if not settings.disk else "tcg"
    interface = "ide" if not settings.disk else "virtio"
    return [
        *("-name", settings.name),
        *("-accel", "kvm" if cpu else tcg),
        *guest,
        *(["-cpu", cpu] if cpu else []),
        *("-m", str(settings.memory), "-smp", str(settings.cpus)),
        *("-nodefaults", "-display", "none", "-vga", "std"),
        *("-drive", f"file={disk.replace(',', ',,')},format={settings.disk_format},if={interface}"),
        # A viewer that asks to have the screen alone throws nobody out.
        *("-vnc", f"{_display(settings.vnc)},share=force-shared"),
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *settings.more,
    ]


def _display(vnc: TcpTarget | UnixTarget) -> str:
    if isinstance(vnc, UnixTarget):
        return f"unix:{vnc.path.replace(',', ',,')}"
    return f"{bracketed(vnc.host)}:{vnc.port - _FIRST_PORT}"
