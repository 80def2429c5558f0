# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The planner: what a host's ``novnc_vms`` come to, or why they cannot work.

Pure: everything known about the host comes in, nothing is asked or changed.
It never raises; what is wrong is told in ``Plan.faults``, each a sentence that
names host, VM, key, value and a mend.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    IPAddress,
    Target,
    TcpTarget,
    join,
    parse_address,
    parse_port,
    parse_target,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
"""Console names: safe as file name, unit instance and part of a URL."""

KEYS = {
    "vnc": "the VNC server: a port on 127.0.0.1, 'host:port', '[v6]:port' or 'unix:/path'",
    "title": "what people read",
    "expect_name": "desktop name that the VNC server announces",
    "listen_address": "IP address where the direct console listens",
    "listen_port": "its port there",
}
"""What may be written under a VM, with its meaning."""

LIBVIRT_FIRST_PORT = 5900
LIBVIRT_CONSOLE_PORT = 16000
"""Where consoles go on hosts where libvirt hands out the ports from 5900 on."""


@dataclass(frozen=True)
class Host:
    """A hypervisor as the planner sees it.

    ``addresses`` are all of its own; ``interfaces`` maps names to theirs.
    ``libvirt`` tells that libvirt hands out displays there; ``tls_fault`` why
    its certificate cannot be used, if so.
    """

    name: str
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    interfaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    default_ipv4: str = ""
    libvirt: bool = False
    tls_fault: str = ""


@dataclass(frozen=True)
class Settings:
    """The role's knobs that bear on the plan (see the role's argument_specs)."""

    listen_address: str = ""
    interface: str = ""
    tls: bool = False
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Console:
    """One VM's console, complete. ``listen`` and ``vnc`` are in the inventory's notation."""

    host: str
    vm: str
    title: str
    vnc: str
    listen: str
    url: str
    websocket: str
    expect_name: str
    expect_strict: bool
    origins: tuple[str, ...]


@dataclass
class Plan:
    """The consoles of one host, in the inventory's order, and what is wrong with it."""

    consoles: list[Console] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


class _FaultError(Exception):
    """A sentence about one key of one VM."""


def make_plan(vms: object, host: Host, settings: Settings) -> Plan:
    """Complete every entry of ``novnc_vms`` for one host and find what cannot work."""
    plan = Plan()
    if host.tls_fault:
        plan.faults.append(f"{host.name}: {host.tls_fault}")
    if not isinstance(vms, Mapping):
        plan.faults.append(f"{host.name}: novnc_vms is {vms!r}; write a mapping of VM to target")
        return plan
    for vm, entry in vms.items():
        try:
            plan.consoles.append(_console(vm, entry, host, settings))
        except _FaultError as fault:
            plan.faults.append(f"{host.name}: {vm!s}: {fault}")
    plan.faults += _same_names(host, [console.vm for console in plan.consoles])
    plan.faults += _collisions(host, plan.consoles)
    return plan


def _console(vm: object, entry: object, host: Host, settings: Settings) -> Console:
    name = _checked_name(vm)
    keys = dict(entry) if isinstance(entry, Mapping) else {"vnc": entry}
    for key in keys:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1) or sorted(KEYS)
            raise _FaultError(f"unknown key {key!r}; did you mean {' or '.join(near)}?")
    target = _target(keys.get("vnc"))
    address = _listen_address(keys.get("listen_address"), host, settings)
    port = _listen_port(keys.get("listen_port"), target, host)
    expect_name = _text(keys, "expect_name")
    listen = join(str(address), port)
    http, ws = ("https", "wss") if settings.tls else ("http", "ws")
    return Console(
        host=host.name,
        vm=name,
        title=_text(keys, "title") or name,
        vnc=str(target),
        listen=listen,
        # In the fragment, which no server logs: open the screen, not the connect dialogue.
        url=f"{http}://{listen}/vnc.html#autoconnect=true&resize=scale",
        websocket=f"{ws}://{listen}/websockify",
        expect_name=expect_name or f"QEMU ({name})",
        expect_strict=expect_name is not None,
        origins=settings.allowed_origins or _own_origins(host, str(address), port, http),
    )


def _checked_name(vm: object) -> str:
    text = str(vm) if isinstance(vm, int) and not isinstance(vm, bool) else vm
    if not isinstance(text, str) or not NAME.match(text):
        raise _FaultError(
            "no name for a console; use 1 to 63 letters, digits, '.', '_' or '-',"
            " the first a letter or a digit"
        )
    return text


def _text(keys: Mapping[str, object], key: str) -> str | None:
    value = keys.get(key)
    if value is None:
        return None
    if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).isprintable():
        return str(value)
    raise _FaultError(f"{key} {value!r} is no text of one line; put it in quotes")


def _number(value: object, key: str) -> int | None:
    """Return a port written as number or text, None for any other text."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _FaultError(f"{key} {value!r} is no port; a port is a number from 1 to 65535")
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value):
        return None
    try:
        return parse_port(str(value))
    except ValueError as error:
        raise _FaultError(f"{key} {error}") from None


def _target(value: object) -> Target:
    if value is None:
        raise _FaultError(f"vnc is missing; it names {KEYS['vnc']}")
    port = _number(value, "vnc")
    if port is not None:
        return TcpTarget("127.0.0.1", port)
    try:
        return parse_target(str(value))
    except ValueError as error:
        raise _FaultError(f"vnc {error}") from None


def _listen_address(written: object, host: Host, settings: Settings) -> IPAddress:
    """The address rule: the VM's own, the host's knob, its interface's, its default."""
    for source, value in (
        ("listen_address", written),
        ("novnc_console_listen_address", settings.listen_address),
    ):
        if value is None or value == "":
            continue
        address = parse_address(value) if isinstance(value, str) else None
        if address is None:
            raise _FaultError(f"{source} {value!r} is no IP address")
        return address
    if settings.interface:
        return _interface_address(host, settings.interface)
    address = parse_address(host.default_ipv4)
    if address is None:
        raise _FaultError("the host has no default IPv4 address; write listen_address")
    return _unwritten(address, "the host's default address")


def _interface_address(host: Host, interface: str) -> IPAddress:
    if interface not in host.interfaces:
        known = ", ".join(sorted(host.interfaces)) or "none"
        raise _FaultError(
            f"novnc_console_interface {interface!r} is not on the host; it has: {known}"
        )
    found = [parse_address(text) for text in host.interfaces[interface]]
    addresses = sorted((a for a in found if a and not a.is_link_local), key=lambda a: a.version)
    if not addresses:
        raise _FaultError(
            f"novnc_console_interface {interface!r} has no address; write listen_address"
        )
    return _unwritten(addresses[0], f"the address of {interface}")


def _unwritten(address: IPAddress, what: str) -> IPAddress:
    if address.is_global:
        raise _FaultError(
            f"{what} is the public address {address}, where consoles are opened only if"
            f" it is written: listen_address: {address}"
        )
    return address


def _listen_port(written: object, target: Target, host: Host) -> int:
    """The port rule: the written one, the VNC server's own, or out of libvirt's way."""
    if written is not None:
        port = _number(written, "listen_port")
        if port is None:
            raise _FaultError(
                f"listen_port {written!r} is no port; a port is a number from 1 to 65535"
            )
        return port
    if not isinstance(target, TcpTarget):
        raise _FaultError(f"listen_port is missing; {target} has no port that could be used")
    if not host.libvirt:
        return target.port
    port = LIBVIRT_CONSOLE_PORT + target.port - LIBVIRT_FIRST_PORT
    if not 1024 <= port <= 65535:
        raise _FaultError(f"listen_port is missing; {target.port} + 10100 is no port for a console")
    return port


def _own_origins(host: Host, address: str, port: int, scheme: str) -> tuple[str, ...]:
    """Return the origins under which a browser can have loaded the console's own page."""
    default = {"http": 80, "https": 443}[scheme]
    names = dict.fromkeys((address, *host.names, host.name))
    return tuple(
        f"{scheme}://{join(name, port)}" if port != default else f"{scheme}://{join(name, 0)[:-2]}"
        for name in names
    )


def _same_names(host: Host, names: list[str]) -> list[str]:
    faults, seen = [], dict[str, str]()
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            faults.append(f"{host.name}: {name}: differs from {other} by case only; rename one")
    return faults


def _collisions(host: Host, consoles: list[Console]) -> list[str]:
    """Find listeners that cannot live side by side, among consoles and with VNC servers."""
    own = {parse_address(text) for text in host.addresses}
    taken: list[tuple[str, IPAddress, int]] = []
    for console in consoles:
        server = _endpoint(console.vnc)
        if server is not None and (server[0].is_loopback or server[0] in own):
            taken.append((f"the VNC server of {console.vm}", *server))
    faults = []
    for console in consoles:
        listener = _endpoint(console.listen)
        if listener is None:
            continue
        address, port = listener
        faults += [
            f"{host.name}: {console.vm}: listen_port {port} on {address} is taken by {what}"
            f" ({join(str(other), port)}); write another listen_port or listen_address"
            for what, other, other_port in taken
            if port == other_port and _overlap(address, other)
        ]
        taken.append((f"the console of {console.vm}", address, port))
    return faults


def _endpoint(text: str) -> tuple[IPAddress, int] | None:
    """Return address and port of a TCP endpoint; None for a socket or a host by name."""
    target = parse_target(text)
    if not isinstance(target, TcpTarget):
        return None
    address = parse_address("127.0.0.1" if target.host == "localhost" else target.host)
    return None if address is None else (address, target.port)


def _overlap(one: IPAddress, other: IPAddress) -> bool:
    """Tell whether two listeners on the same port cannot live side by side.

    ``::`` takes IPv4 too, as Linux binds it by default (ipv6(7), IPV6_V6ONLY).
    """
    return one == other or any(
        a.is_unspecified and (a.version == 6 or b.version == 4)
        for a, b in ((one, other), (other, one))
    )


def plan_as_data(plan: Plan) -> dict[str, Any]:
    """Return a plan as Ansible passes it on: dictionaries and lists only."""
    return {
        "consoles": [
            {**vars(console), "origins": list(console.origins)} for console in plan.consoles
        ],
        "faults": list(plan.faults),
    }
