# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The planner: what a host's ``novnc_vms`` come to, or why they cannot work.

Pure: everything known about the host comes in, nothing is asked or changed.
It never raises; what is wrong is told in ``Plan.faults`` and what is odd in
``Plan.notes``, each a sentence that names host, VM, key, value and a mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.entry import (
    Entry,
    EntryError,
    parse_entry,
    shown,
)
from ansible_collections.novnc.fleet.plugins.module_utils.listeners import Listener, collisions
from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    Target,
    TcpTarget,
    UnixTarget,
    bracketed,
    join,
    parse_address,
)
from ansible_collections.novnc.fleet.plugins.module_utils.rules import (
    LIBVIRT_CONSOLE_PORT,
    LIBVIRT_FIRST_PORT,
    Host,
    Settings,
    host_address,
    port_by_rule,
)

_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?\Z")
"""An Origin as browsers send it (RFC 6454, section 6.2), for pages of the web."""

_MEMORY = re.compile(r"[1-9][0-9]*[KMGT]?\Z|[1-9][0-9]?%\Z")
"""A size in the notation of systemd.resource-control(5)."""

HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108
"""Directories that a console's sandbox hides from it."""


@dataclass(frozen=True)
class Console:
    """One VM's console, complete. ``listen`` and ``vnc`` are in the inventory's notation.

    Where direct consoles are off, ``listen``, ``url``, ``websocket`` and ``origins`` are empty.
    """

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
    """The consoles of one host, in the inventory's order; what is wrong, and what is odd.

    Attributes:
        direct: Whether they have listeners of their own.
    """

    direct: bool = True
    consoles: list[Console] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_data(self) -> dict[str, Any]:
        """Return the plan as Ansible passes it on: dictionaries and lists only."""
        consoles = [{**vars(one), "origins": list(one.origins)} for one in self.consoles]
        lists = {"consoles": consoles, "faults": self.faults, "notes": self.notes}
        return {"direct": self.direct, **lists}


@dataclass(frozen=True)
class _Placed:
    """An entry with the listener that the address rule and the port rule give it."""

    entry: Entry
    listener: Listener


def make_plan(vms: object, host: Host, settings: Settings) -> Plan:
    """Complete every entry of ``novnc_vms`` for one host and find what cannot work."""
    plan = Plan(direct=settings.direct)
    plan.faults += [f"{host.name}: {words}" for words in _host_faults(host, settings)]
    if not isinstance(vms, Mapping):
        words = "write a mapping of VM to target"
        plan.faults.append(f"{host.name}: novnc_vms is {shown(vms)}; {words}")
        return plan
    entries = _entries(vms, host, plan)
    placed = _placed(entries, host, settings, plan) if settings.direct else []
    _find_same_names(entries, host, plan)
    _find_bad_targets(entries, host, plan)
    _find_collisions(placed, host, settings, plan)
    _find_oddities(placed, host, plan)
    if settings.direct:
        plan.consoles = [_direct_console(one, host, settings) for one in placed]
    else:
        plan.consoles = [_console(entry, host) for entry in entries]
    if entries and not settings.direct and settings.endpoint is None:
        plan.notes.append(
            f"{host.name}: novnc_console_direct is false and there is no endpoint, so nobody"
            " can see its VMs; set novnc_console_direct or novnc_endpoint_enabled"
        )
    return plan


def _host_faults(host: Host, settings: Settings) -> Iterator[str]:
    """Yield what is wrong with the knobs themselves."""
    if host.tls_fault and settings.direct:
        yield host.tls_fault
    for group in host.missing_groups:
        yield f"novnc_console_groups: the host has no group {group!r}; make it, or take it out"
    for origin in settings.allowed_origins:
        if not _ORIGIN.match(origin):
            yield (
                f"novnc_console_allowed_origins: {origin!r} is not what a browser sends; write"
                " https://name or https://name:port, in lower case and without a path"
            )
    if settings.memory_max and not _MEMORY.match(settings.memory_max):
        yield f"novnc_console_memory_max {settings.memory_max!r} is no size; write 512M or 1G"


def _entries(vms: Mapping[Any, Any], host: Host, plan: Plan) -> list[Entry]:
    entries = []
    for name, value in vms.items():
        try:
            entries.append(parse_entry(name, value))
        except EntryError as error:
            plan.faults.append(f"{host.name}: {shown(name, bare=True)}: {error}")
    return entries


def _placed(entries: list[Entry], host: Host, settings: Settings, plan: Plan) -> list[_Placed]:
    placed = []
    used = {entry.listen_port for entry in entries} | {entry.port for entry in entries}
    used |= {listener.port for listener in host.listeners}
    for entry in entries:
        try:
            address = entry.listen_address or host_address(host, settings)
            port = entry.listen_port or port_by_rule(entry.vnc, host, used)
        except EntryError as error:
            plan.faults.append(f"{host.name}: {entry.name}: {error}")
            continue
        listener = Listener(address, port, f"the console of {entry.name}")
        placed.append(_Placed(entry, listener))
    return placed


def _find_same_names(entries: list[Entry], host: Host, plan: Plan) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        other = seen.get(entry.name.lower())
        seen[entry.name.lower()] = entry.name
        if other is not None:
            how = "by case only" if other != entry.name else "in nothing"
            plan.faults.append(
                f"{host.name}: {entry.name}: differs from {other} {how}; rename one of them"
            )


def _find_bad_targets(entries: list[Entry], host: Host, plan: Plan) -> None:
    """Two consoles of one VNC server would show one VM twice, and one of them the wrong one."""
    seen: dict[str, str] = {}
    for entry in entries:
        target = str(entry.vnc).replace("localhost:", "127.0.0.1:")
        other = seen.get(target)
        seen[target] = entry.name
        if other is not None:
            plan.faults.append(
                f"{host.name}: {entry.name}: vnc {target} is the VNC server of {other} too;"
                " write its own"
            )
        if isinstance(entry.vnc, UnixTarget) and entry.vnc.path.startswith(HIDDEN):
            plan.faults.append(
                f"{host.name}: {entry.name}: vnc {target} is in a directory that the console's"
                " sandbox hides; put the socket below /run"
            )


def _find_collisions(placed: list[_Placed], host: Host, settings: Settings, plan: Plan) -> None:
    entry_of = {id(one.listener): one.entry for one in placed}
    wanted = [one.listener for one in placed]
    for listener, other in collisions(wanted, _taken(placed, host, settings)):
        entry = entry_of[id(listener)]
        mend = "write another listen_port"
        if entry.listen_address is not None and host.default_ipv4 not in (
            "",
            str(listener.address),
        ):
            mend = f"leave listen_address out to use {host.default_ipv4}, or {mend}"
        elif entry.listen_address is None:
            mend += " or listen_address"
        plan.faults.append(
            f"{host.name}: {entry.name}: listen_port {listener.port} on {listener.address}"
            f" is taken by {other.owner} ({other}); {mend}"
        )


def _taken(placed: list[_Placed], host: Host, settings: Settings) -> list[Listener]:
    """Return what stands in the way of consoles: VNC servers, running or not, and the rest."""
    own = {parse_address(text) for text in host.addresses}
    taken = []
    for one in placed:
        server = _server(one.entry.vnc, f"the VNC server of {one.entry.name}")
        if server is None:
            continue
        address = server.address
        if address.is_loopback or address.is_unspecified or address in own:
            taken.append(server)
    if settings.endpoint and (endpoint := _server(settings.endpoint, "the host's endpoint")):
        taken.append(endpoint)
    return [*taken, *host.listeners]


def _server(target: Target, owner: str) -> Listener | None:
    """Return what listens at a target; None for a socket or another machine by name."""
    if not isinstance(target, TcpTarget):
        return None
    address = parse_address("127.0.0.1" if target.host == "localhost" else target.host)
    return Listener(address, target.port, owner) if address else None


def _find_oddities(placed: list[_Placed], host: Host, plan: Plan) -> None:
    own = {parse_address(text) for text in host.addresses}
    first, last = host.ephemeral_ports
    for one in placed:
        address, port = one.listener.address, one.listener.port
        where = f"{host.name}: {one.entry.name}: listen_port {port}"
        if not (address.is_unspecified or address.is_loopback or address in own):
            plan.notes.append(
                f"{host.name}: {one.entry.name}: listen_address {address} is not on the host now;"
                " the console waits for it"
            )
        if first <= port <= last:
            plan.notes.append(
                f"{where} is one that the kernel hands out by itself ({first}-{last}), so it may"
                " be taken at the next boot; a port below is safe"
            )
        if port < 1024:
            plan.notes.append(f"{where} is a privileged one; programs may expect another service")
        if host.libvirt and LIBVIRT_FIRST_PORT <= port < LIBVIRT_CONSOLE_PORT:
            plan.notes.append(
                f"{where} is one that libvirt hands out to VMs; leave it out to keep out of"
                " libvirt's way"
            )


def _console(entry: Entry, host: Host) -> Console:
    """Return a console that has no listener of its own."""
    return Console(
        host=host.name,
        vm=entry.name,
        title=entry.title or entry.name,
        vnc=str(entry.vnc),
        listen="",
        url="",
        websocket="",
        expect_name=entry.expect_name or f"QEMU ({entry.name})",
        expect_strict=entry.expect_name is not None,
        origins=(),
    )


def _direct_console(placed: _Placed, host: Host, settings: Settings) -> Console:
    listener = placed.listener
    http, ws = ("https", "wss") if settings.tls else ("http", "ws")
    address = str(listener.address)
    if listener.address.is_unspecified:
        address = next(iter(host.names), "") or host.default_ipv4 or host.name
    reached = join(address, listener.port)
    return replace(
        _console(placed.entry, host),
        listen=str(listener),
        # In the fragment, which no server logs: open the screen, not the connect dialogue.
        url=f"{http}://{reached}/vnc.html#autoconnect=true&resize=scale",
        websocket=f"{ws}://{reached}/websockify",
        origins=settings.allowed_origins or _own_origins(host, listener, http),
    )


def _own_origins(host: Host, listener: Listener, scheme: str) -> tuple[str, ...]:
    """Return the origins under which a browser can have loaded the console's own page.

    As browsers write them (RFC 6454, section 6.1): in lower case, addresses in
    their short form, the scheme's own port left out.
    """
    port = "" if listener.port == {"http": 80, "https": 443}[scheme] else f":{listener.port}"
    wildcard = listener.address.is_unspecified
    addresses = host.addresses if wildcard else (str(listener.address),)
    names = [
        str(parse_address(name) or name.lower()) for name in (*addresses, *host.names, host.name)
    ]
    return tuple(f"{scheme}://{bracketed(name)}{port}" for name in dict.fromkeys(names))
