# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""VMs of a host as libvirt knows them: read-only, and bounded in time.

``virsh`` is asked, not python3-libvirt: that waits inside C for a daemon that hangs, where no
deadline reaches it, and exists for the distribution's own Python only; a process can be ended.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline
from ansible_collections.novnc.fleet.plugins.module_utils.vm import (
    Display,
    Vm,
    VmsError,
    tcp_display,
    unix_display,
)

SOCKETS = ("/run/libvirt/libvirt-sock-ro", "/run/libvirt/virtqemud-sock-ro")
"""Where it answers, which is all that a container can know of it."""

UNITS = ("libvirtd.service", "libvirtd.socket", "virtqemud.service", "virtqemud.socket")
"""Units of libvirt's QEMU driver: all in one daemon, or a daemon of its own."""

VIRSH = ("virsh", "--readonly", "--quiet", "--connect", "qemu:///system")

ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}

PROPERTIES = "--property=Id,ActiveState,UnitFileState"

ATTEMPTS = 3
"""How often to read the list, as domains may go between being listed and being read."""


def libvirt_domains(timeout: float = 10.0) -> list[Vm] | None:
    """Return libvirt's VMs, or None where the host is no host of libvirt's.

    Args:
        timeout: Seconds for all of it.

    Raises:
        VmsError: libvirt is there (its service or socket is enabled, or not at rest; without
            systemd, its socket is there) and does not answer, in time or at all.
    """
    deadline = Deadline(timeout)
    if not _is_there(deadline):
        return None
    for _ in range(ATTEMPTS):
        uuids = _asked([*VIRSH, "list", "--all", "--uuid"], deadline).split()
        if not uuids:
            return []
        script = "; ".join(f"dumpxml {one}" for one in uuids)
        # Its status is the last command's, and that domain may be gone; what counts is the text.
        vms = parse_domains(_asked([*VIRSH, script], deadline, fails="failed to get domain"))
        if {vm.uuid for vm in vms} == set(uuids):
            return vms
    raise VmsError(
        f"libvirt lists domains that it does not show, {ATTEMPTS} times in a row;"
        " see 'virsh --readonly list --all' and 'journalctl -u libvirtd -u virtqemud'"
    )


def _is_there(deadline: Deadline) -> bool:
    if not shutil.which("systemctl", path=ENVIRONMENT["PATH"]):
        return any(map(os.path.exists, SOCKETS))
    return libvirt_is_there(_asked(["systemctl", "show", PROPERTIES, *UNITS], deadline))


def libvirt_is_there(shown: str) -> bool:
    """Tell from what ``systemctl show`` says of `UNITS` whether libvirt has to answer."""
    enabled = re.search(r"^UnitFileState=enabled", shown, re.MULTILINE)
    return bool(enabled or re.search(r"^ActiveState=(?!inactive$)", shown, re.MULTILINE))


def _asked(command: Sequence[str], deadline: Deadline, *, fails: str | None = None) -> str:
    """Return what a program prints; ``fails`` is the one complaint that it may end with."""
    what = " ".join(command[:7])
    try:
        done = subprocess.run(
            command,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=deadline.remaining(),
            check=False,
        )
    except FileNotFoundError:
        package = "; install libvirt-clients" if command[0] == "virsh" else ""
        raise VmsError(
            f"libvirt cannot be asked, as {command[0]} is not on the host{package}"
        ) from None
    except (subprocess.TimeoutExpired, socket.timeout):
        raise VmsError(
            f"libvirt did not answer within {deadline.seconds:g} s ({what}); see"
            " 'systemctl status libvirtd virtqemud', and restart what hangs"
        ) from None
    complaints = done.stderr.decode(errors="replace").strip()
    if done.returncode != 0 and not (fails and fails in complaints):
        mend = "start its service or socket, or disable both if the host is to be without libvirt"
        # In a container; the words are in the language of libvirt's daemon.
        if any(f"'{number}'" in complaints for number in (os.getuid(), os.getgid())):
            mend = "it answers only whom the host knows, so make a user and a group of that number"
        raise VmsError(f"libvirt does not answer ({what}): {' '.join(complaints.split())}; {mend}")
    return done.stdout.decode(errors="replace")


def parse_domains(text: str) -> list[Vm]:
    """Return the VMs of domain XML texts, one after the other, as ``virsh dumpxml`` prints them.

    Raises:
        VmsError: It is no domain XML.
    """
    try:
        root = ET.fromstring(f"<domains>{text}</domains>")  # noqa: S314 (from root's own daemon)
    except ET.ParseError as error:
        raise VmsError(f"libvirt's XML cannot be read: {error}") from None
    return [_domain(element) for element in root.findall("domain")]


def _domain(element: ET.Element) -> Vm:
    name = element.findtext("name", "")
    displays = [
        display
        for graphics in element.findall("devices/graphics[@type='vnc']")
        for display in _displays(graphics)
    ]
    return Vm(
        name=name,
        title=(element.findtext("title") or "").strip() or name,
        uuid=element.findtext("uuid", ""),
        # Only a domain that has a process has an id; a paused one has both.
        state="running" if "id" in element.attrib else "off",
        source="libvirt",
        displays=tuple(displays),
        expect_name=f"QEMU ({name})",
    )


def _displays(graphics: ET.Element) -> list[Display]:
    """Return where a VNC server listens, or will; nothing where libvirt has yet to choose."""
    # Read-only, libvirt tells no password; only that one expires, if one does.
    password = True if graphics.get("passwdValidTo") else None
    port = _port(graphics, "port")
    found: list[Display | None] = []
    for listen in graphics.findall("listen"):
        kind = listen.get("type")
        path = listen.get("socket") or graphics.get("socket")
        if kind == "socket" and path:
            found.append(unix_display(path, password))
        elif kind in ("address", "network") and port:
            # A domain that is off may leave the address to qemu.conf, whose default is this.
            address = listen.get("address") or "127.0.0.1"
            found.append(_tcp(address, port, _port(graphics, "websocket"), password))
    return [display for display in found if display]


def _tcp(address: str, port: int, websocket: int, password: bool | None) -> Display | None:
    try:
        return tcp_display(
            "127.0.0.1" if address == "localhost" else address, port, websocket, password
        )
    except ValueError:  # a name; the command line of a running VM has what it came to
        return None


def _port(graphics: ET.Element, attribute: str) -> int:
    """Return a port; 0 for none and for one to be allocated (-1)."""
    text = graphics.get(attribute, "")
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
