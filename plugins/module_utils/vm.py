# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What a VM is to a console: a name, an identity, a state, and where its screen is. Pure."""

from __future__ import annotations

import ipaddress
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    Target,
    TcpTarget,
    UnixTarget,
)
from ansible_collections.novnc.fleet.plugins.module_utils.process import Process

NAMESPACE = uuid.UUID("0d6c34b2-6f27-5b0f-9d0d-9bb3ce0e6a41")
"""In which VMs without a uuid of their own get one (RFC 4122, section 4.3). Never change it."""


class VmsError(Exception):
    """The VMs of a host cannot be told; a sentence with value and mend."""


@dataclass(frozen=True)
class Display:
    """One VNC listener of a VM.

    Attributes:
        family: ``ipv4``, ``ipv6`` or ``unix``.
        address: IP address without brackets; empty for unix.
        port: TCP port; 0 for unix.
        socket: Path; empty for TCP.
        websocket_port: TCP port of QEMU's own WebSocket; 0 without one.
        password_required: Whether it wants a login; None where nobody can tell.
        wildcard: Whether it listens on all addresses of the host.
        type: Always ``vnc``.
    """

    family: str
    address: str
    port: int
    socket: str
    websocket_port: int
    password_required: bool | None
    wildcard: bool
    type: str = "vnc"

    @property
    def target(self) -> Target:
        """Where to connect to from the host itself; loopback for a wildcard."""
        if self.socket:
            return UnixTarget(self.socket)
        loopback = "::1" if self.family == "ipv6" else "127.0.0.1"
        return TcpTarget(loopback if self.wildcard else self.address, self.port)

    @property
    def place(self) -> tuple[str, int, str]:
        """What tells it from any other listener of the host."""
        return self.address, self.port, self.socket

    def is_reached_by(self, target: Target) -> bool:
        """Tell whether who connects to a target on this host gets here."""
        if isinstance(target, UnixTarget):
            return self.socket == target.path
        if self.port != target.port:  # 0 for unix
            return False
        # The kernel takes a connection to a wildcard as one to loopback.
        v4, v6 = target.host in ("localhost", "0.0.0.0"), target.host in ("localhost", "::")  # noqa: S104
        hosts = {target.host} | ({"127.0.0.1"} if v4 else set()) | ({"::1"} if v6 else set())
        # A listener on :: takes IPv4 too, if QEMU made it for both.
        covered = self.family == "ipv6" or any(":" not in host for host in hosts)
        return self.address in hosts or (self.wildcard and covered)


def tcp_display(
    address: str, port: int, websocket_port: int = 0, password_required: bool | None = None
) -> Display:
    """Return a display on TCP; raise ValueError if ``address`` is no IP address."""
    ip = ipaddress.ip_address(address)
    family, text = f"ipv{ip.version}", str(ip)
    return Display(family, text, port, "", websocket_port, password_required, ip.is_unspecified)


def unix_display(path: str, password_required: bool | None = None) -> Display:
    """Return a display on a unix socket."""
    return Display("unix", "", 0, path, 0, password_required, False)


@dataclass(frozen=True)
class Vm:
    """One VM of a host.

    Attributes:
        name: Its own name, or what it is called in ``consoles.json`` where it has none.
        title: What people read.
        uuid: Its own, or one made of host and name, which stays the same.
        state: ``running`` (paused too), ``off`` or ``unknown``.
        source: Who knows it best: ``libvirt``, ``qemu`` or ``consoles``.
        displays: Where its VNC servers listen, or would; the first is the one to use.
        warnings: What is odd or unsafe, each a sentence.
        expect_name: Desktop name that its VNC servers announce; None where nobody can tell.
        process: The one that shows it: as long as it runs, the displays are these. None where
            that is unknown.
    """

    name: str
    title: str
    uuid: str
    state: str
    source: str
    displays: tuple[Display, ...] = ()
    warnings: tuple[str, ...] = ()
    expect_name: str | None = None
    process: Process | None = None

    def as_data(self) -> dict[str, Any]:
        """Return what novnc.fleet.vm_info tells of it, as JSON types."""
        data = asdict(self)
        del data["process"]
        return {**data, "displays": list(data["displays"]), "warnings": list(self.warnings)}


def made_uuid(host: str, name: str) -> str:
    """Return the uuid of a VM that has none of its own: stable, from host and name."""
    return str(uuid.uuid5(NAMESPACE, f"{host}/{name}"))


def own_uuid(text: str) -> str:
    """Return a uuid in its usual form; empty if the text is none, or the one of all zeros."""
    try:
        found = uuid.UUID(text)
    except ValueError:
        return ""
    return str(found) if found.int else ""
