# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The address rule and the port rule: where a console listens that says nothing of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ansible_collections.novnc.fleet.plugins.module_utils.entry import EntryError
from ansible_collections.novnc.fleet.plugins.module_utils.listeners import Listener
from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    IPAddress,
    Target,
    TcpTarget,
    parse_address,
)

LIBVIRT_FIRST_PORT = 5900
LIBVIRT_CONSOLE_PORT = 16000
"""Where consoles go on hosts where libvirt hands out the ports from 5900 on."""


@dataclass(frozen=True)
class Host:
    """A hypervisor as the planner sees it.

    Attributes:
        name: Its name in the inventory.
        names: Other names and addresses by which people reach it.
        addresses: All addresses of its own.
        interfaces: The addresses of each interface.
        default_ipv4: The address of its default route; empty without one.
        libvirt: Whether libvirt hands out displays there.
        listeners: What listens there now and is not a console of ours.
        ephemeral_ports: First and last port that the kernel hands out by itself.
        missing_groups: Groups that its consoles are to belong to and that it does not have.
        tls_fault: Why its consoles' certificate cannot be used; empty where it can.
    """

    name: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    interfaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_ipv4: str = ""
    libvirt: bool = False
    listeners: tuple[Listener, ...] = ()
    ephemeral_ports: tuple[int, int] = (32768, 60999)
    missing_groups: tuple[str, ...] = ()
    tls_fault: str = ""


@dataclass(frozen=True)
class Settings:
    """The knobs that bear on the plan (see the role's argument_specs).

    Attributes:
        endpoint: Where the host's endpoint listens or will; None without one.
        direct: Whether the host's consoles have listeners of their own.
    """

    listen_address: str = ""
    interface: str = ""
    tls: bool = False
    allowed_origins: tuple[str, ...] = ()
    memory_max: str = ""
    endpoint: TcpTarget | None = None
    direct: bool = True


def host_address(host: Host, settings: Settings) -> IPAddress:
    """The address rule, for consoles that have none of their own."""
    if settings.listen_address:
        address = parse_address(settings.listen_address)
        if address is None:
            written = f"novnc_console_listen_address {settings.listen_address!r}"
            raise EntryError(f"{written} is no IP address; leave it out for the host's own")
        return address
    if settings.interface:
        return _interface_address(host, settings.interface)
    address = parse_address(host.default_ipv4)
    if address is None:
        raise EntryError(
            "the host has no default IPv4 address; write novnc_console_listen_address"
            " or novnc_console_interface"
        )
    return _not_public(address, "the host's default address")


def _interface_address(host: Host, interface: str) -> IPAddress:
    written = f"novnc_console_interface {interface!r}"
    if interface not in host.interfaces:
        known = ", ".join(sorted(host.interfaces)) or "none"
        raise EntryError(f"{written} is not on the host; it has: {known}")
    found = [parse_address(text) for text in host.interfaces[interface]]
    usable = [address for address in found if address and not address.is_link_local]
    if not usable:
        raise EntryError(f"{written} has no address; write novnc_console_listen_address")
    return _not_public(min(usable, key=lambda address: address.version), f"that of {interface}")


def _not_public(address: IPAddress, what: str) -> IPAddress:
    if address.is_global:
        raise EntryError(
            f"{what}, {address}, is public, and consoles are opened to the world only where"
            f' somebody wrote so: listen_address: "{address}"'
        )
    return address


def port_by_rule(vnc: Target, host: Host, used: Collection[int | None]) -> int:
    """The port rule, for consoles that have none of their own."""
    if not isinstance(vnc, TcpTarget):
        free = next(n for n in range(LIBVIRT_CONSOLE_PORT, 65536) if n not in used)
        raise EntryError(f"listen_port is missing; {vnc} has none to go by, and {free} is free")
    if not host.libvirt:
        return vnc.port
    port = LIBVIRT_CONSOLE_PORT + vnc.port - LIBVIRT_FIRST_PORT
    if not 1 <= port <= 65535:
        raise EntryError(f"listen_port is missing; by libvirt's rule it would be {port}")
    return port
