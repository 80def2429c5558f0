# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""VMs of a host as QEMU's own processes tell of them, by their command lines (qemu(1))."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from ansible_collections.novnc.fleet.plugins.module_utils.listeners import SS, Listener, parse_ss
from ansible_collections.novnc.fleet.plugins.module_utils.notation import parse_address
from ansible_collections.novnc.fleet.plugins.module_utils.process import (
    PROC,
    Process,
    running_process,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vm import (
    Display,
    own_uuid,
    tcp_display,
    unix_display,
)

PROGRAM = re.compile(r"(.*/)?\.?(qemu|kvm|qemu-kvm|qemu-system-[\w.-]+)\Z")

FIRST_PORT = 5900
FIRST_WEBSOCKET_PORT = 5700
LAST_PORT = 65535

WITHOUT_VNC = {"display", "nographic", "spice", "vnc", "curses", "sdl"}

Held = Callable[[], "Sequence[Listener] | None"]
"""Tells where a process listens on TCP; None where this user may not know."""


@dataclass(frozen=True)
class QemuVm:
    """A VM as one process, or its monitor, tells of it.

    Attributes:
        name: What ``-name`` says; empty without.
        uuid: What ``-uuid`` says; empty without.
        displays: Where its VNC servers listen.
        warnings: What could not be found out.
        running: Whether there is a process.
        process: The one whose command line says all that; None if something else does.
    """

    name: str
    uuid: str
    displays: tuple[Display, ...] = ()
    warnings: tuple[str, ...] = ()
    running: bool = True
    process: Process | None = field(default=None, compare=False)


def qemu_processes(proc: str = PROC) -> list[QemuVm]:
    """Return a VM for each QEMU process of this host, containers' left out."""
    found = []
    listeners = cache(_listeners)
    for pid in sorted(int(path.name) for path in Path(proc).glob("[0-9]*")):
        # A process may end at any moment.
        with suppress(OSError):
            if not qemu_command(pid, proc):
                continue
            process = running_process(pid, proc)
            # Only now: its number may just have gone to another.
            if words := qemu_command(pid, proc):
                vm = parse_command(words, partial(_held, str(pid), listeners))
                found.append(replace(vm, process=process))
    # While -daemonize forks there are two processes of one VM.
    return list(dict.fromkeys(found))


def qemu_command(pid: int, proc: str = PROC) -> list[str]:
    """Return the command line of a process; nothing if it is no QEMU of this host.

    Those of containers have addresses of their own. Raises OSError where there is none.
    """
    path = Path(proc, str(pid))
    words = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
    if PROGRAM.match(words[0]) and not _is_in_container((path / "status").read_text()):
        return words
    return []


def _is_in_container(status: str) -> bool:
    """Tell whether a process has another number elsewhere (proc(5), NSpid)."""
    found = re.search(r"^NSpid:(.*)$", status, re.MULTILINE)
    return found is not None and len(found[1].split()) > 1


def _listeners() -> list[Listener]:
    """Return what listens on TCP; nothing where iproute2 is not there, as a VM is still a VM."""
    try:
        done = subprocess.run(SS, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_ss(done.stdout)


def _held(pid: str, listeners: Callable[[], list[Listener]]) -> list[Listener] | None:
    """Return where a process listens on TCP; None where this user may not know."""
    return [one for one in listeners() if one.owner.endswith(f", process {pid}")] or None


def parse_options(text: str, first: str) -> dict[str, str]:
    """Return the options of one argument of QEMU's: ``value,key=value,flag``, ``,,`` a comma.

    Args:
        text: The argument.
        first: The key that a value at its beginning belongs to.
    """
    options = {}
    for position, part in enumerate(text.replace(",,", "\0").split(",")):
        key, equals, value = part.replace("\0", ",").partition("=")
        if not equals:
            key, value = (first, key) if position == 0 else (key, "on")
        options[key] = value
    return options


def parse_command(words: Sequence[str], held: Held) -> QemuVm:
    """Return the VM of a command line.

    Args:
        words: The command line, the program first.
        held: Where the process listens; asked only where the command line leaves it open.
    """
    name = uuid = ""
    servers: list[dict[str, str]] = []
    options = {word.lstrip("-") for word in words if word.startswith("-")}
    for word, value in zip(words, [*words[1:], ""]):
        option = word[1:] if word.startswith("--") else word
        if option == "-name":
            name = parse_options(value, "guest").get("guest", "")
        elif option == "-uuid":
            uuid = own_uuid(value)
        elif option == "-vnc" or (option == "-display" and value.startswith("vnc=")):
            servers.append(parse_options(value, "vnc"))
    displays: list[Display] = []
    warnings: list[str] = []
    if not options & WITHOUT_VNC and held() is not None:
        # QEMU without a window system makes one by itself (system/vl.c).
        displays += _listening({"vnc": "localhost:0", "to": "99"}, held) or []
    for server in servers:
        found = _listening(server, held)
        displays += found or []
        if found is None:
            warnings.append(
                f"where its VNC server -vnc {server['vnc']} listens is known to root and to its"
                " QMP socket only; name that"
            )
    return QemuVm(name, uuid, tuple(displays), tuple(warnings))


def _listening(server: Mapping[str, str], held: Held) -> list[Display] | None:
    """Return the displays of one ``-vnc``; None where that cannot be told."""
    where = server.get("vnc", "")
    on = {key for key, value in server.items() if value in ("on", "yes", "true", "y")}
    secret = bool(on & {"password", "sasl"}) or "password-secret" in server
    if where.startswith("unix:"):
        return [unix_display(where[len("unix:") :], secret)]
    host, _, number = where.rpartition(":")
    ports = _port_range(number, server.get("to", ""))
    if not ports or "reverse" in on:  # none, or it calls a viewer
        return []
    websocket = _websocket_port(server.get("websocket", ""), int(number))
    places = _places(host, ports, held)
    if places is None:
        return None
    return [tcp_display(address, port, websocket, secret) for address, port in places]


def _port_range(number: str, last: str) -> range:
    """Return the ports that a display number, and the one in ``to=``, leave open."""
    if not number.isdecimal() or not 0 < FIRST_PORT + int(number) <= LAST_PORT:
        return range(0)
    to = int(last) if last.isdecimal() else int(number)
    return range(FIRST_PORT + int(number), FIRST_PORT + to + 1)


def _places(host: str, ports: range, held: Held) -> list[tuple[str, int]] | None:
    """Return the addresses and ports that a host and a range came to; None where unknown."""
    address = parse_address(host)
    if address is not None and len(ports) == 1:
        return [(str(address), ports[0])]
    listeners = held()
    if listeners is not None:
        mine = [one for one in listeners if one.port in ports and _may_be(one, host)]
        mine.sort(key=lambda one: (one.address.version, str(one)))
        return [(str(one.address), one.port) for one in mine]
    # IPv4 is what nearly everybody has of localhost and of all addresses.
    simple = {"localhost": "127.0.0.1", "": "0.0.0.0"}.get(host)  # noqa: S104
    return [(simple, ports[0])] if simple and len(ports) == 1 else None


def _may_be(listener: Listener, host: str) -> bool:
    """Tell whether a listener can be what a host in ``-vnc`` came to."""
    address = parse_address(host)
    if address is not None:
        return listener.address == address
    if not host:
        return listener.address.is_unspecified
    return listener.address.is_loopback if host == "localhost" else True


def _websocket_port(value: str, display: int) -> int:
    """Return the port of ``websocket=``: ``on``, a port, or ``host:port``; 0 without."""
    if value == "on":
        return FIRST_WEBSOCKET_PORT + display
    port = value.rpartition(":")[2]
    return int(port) if port.isdecimal() and 0 < int(port) <= LAST_PORT else 0
