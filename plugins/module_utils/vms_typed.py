# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Consoles that somebody has typed: a host's ``consoles.json``, and whose VM each of them is."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    Target,
    UnixTarget,
    parse_address,
    parse_target,
)
from ansible_collections.novnc.fleet.plugins.module_utils.units import CONSOLES_JSON
from ansible_collections.novnc.fleet.plugins.module_utils.vm import Vm, VmsError


@dataclass(frozen=True)
class Typed:
    """A console as it was typed.

    Attributes:
        name: What it is called.
        title: What people read.
        vnc: Its VNC server.
        expect_name: Desktop name that this is to announce.
        strict: Whether any other is a failure.
        direct: Whether it has a listener of its own.
        local: Whether its VNC server is on the host itself.
    """

    name: str
    title: str
    vnc: Target
    expect_name: str
    strict: bool
    direct: bool
    local: bool


def read_consoles(path: str = CONSOLES_JSON) -> list[Typed]:
    """Return the host's typed consoles; none where the file is not there.

    Raises:
        VmsError: It cannot be read, or is something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            entries = json.load(file)
        if not isinstance(entries, list):
            raise TypeError(type(entries).__name__)
        return [_typed(entry) for entry in entries]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise VmsError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise VmsError(
            f"{path} is no list of consoles ({error!r}); playbooks/consoles.yml writes it anew"
        ) from None


def _typed(entry: Mapping[str, Any]) -> Typed:
    vnc = parse_target(entry["vnc"])
    return Typed(
        name=entry["vm"],
        title=entry["title"],
        vnc=vnc,
        expect_name=entry["expect_name"],
        strict=entry["expect_strict"],
        direct=bool(entry["listen"]),
        local=is_local(vnc),
    )


def is_local(target: Target) -> bool:
    """Tell whether a target is on this host; a name other than localhost counts as elsewhere."""
    if isinstance(target, UnixTarget) or target.host == "localhost":
        return True
    address = parse_address(target.host)
    if address is None:
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        # Nothing is sent: the kernel chooses a way, and the way to an own address starts there.
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect((str(address), target.port))
            return bool(way.getsockname()[0] == str(address))
    except OSError:
        return False


def match(consoles: Sequence[Typed], vms: Sequence[Vm]) -> dict[str, Vm]:
    """Return the VM of each console that has one on the host, by the console's name. Pure.

    A console's VM is the one that announces what the console expects, wherever it is now.
    Only where there is none such, and no other name was written, it is the VM at its target:
    else a console whose VM has traded places would be taken for another's.
    """
    found: dict[str, Vm] = {}
    for console in consoles:
        # Of several, the one at the target; and what runs before what could.
        named = [vm for vm in vms if vm.expect_name and vm.expect_name == console.expect_name]
        if named:
            found[console.name] = max(named, key=lambda vm: _nearness(console, vm))
    taken = {vm.uuid for vm in found.values()}
    for console in consoles:
        if console.name in found or not console.local:
            continue
        there = [vm for vm in vms if vm.uuid not in taken and _is_at(vm, console)]
        there.sort(key=lambda vm: vm.state != "running")
        if there and (not console.strict or there[0].expect_name in (None, "QEMU")):
            found[console.name] = there[0]
    return found


def _nearness(console: Typed, vm: Vm) -> tuple[bool, bool]:
    return _is_at(vm, console), vm.state == "running"


def _is_at(vm: Vm, console: Typed) -> bool:
    return console.local and any(display.is_reached_by(console.vnc) for display in vm.displays)
