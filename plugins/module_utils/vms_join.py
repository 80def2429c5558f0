# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What libvirt, QEMU and ``consoles.json`` tell of a host's VMs, put together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ansible_collections.novnc.fleet.plugins.module_utils.notation import UnixTarget, parse_address
from ansible_collections.novnc.fleet.plugins.module_utils.vm import (
    Display,
    Vm,
    made_uuid,
    tcp_display,
    unix_display,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_qemu import QemuVm
from ansible_collections.novnc.fleet.plugins.module_utils.vms_typed import Typed

NAMELESS = "QEMU"
"""Desktop name of a VM that was started without ``-name``."""


def join(
    host: str, domains: Sequence[Vm], processes: Sequence[QemuVm], monitors: Sequence[QemuVm]
) -> list[Vm]:
    """Return libvirt's VMs, and those that only QEMU knows."""
    process_of = {process.uuid: process for process in processes if process.uuid}
    found = []
    for vm in domains:
        process = process_of.get(vm.uuid) if vm.state == "running" else None
        found.append(_with_details(vm, process) if process else vm)
    libvirts = {vm.uuid for vm in domains}
    plain = _with_monitors([one for one in processes if one.uuid not in libvirts], monitors)
    return found + _plain_vms(host, [one for one in plain if one.uuid not in libvirts])


def _with_details(vm: Vm, told: QemuVm) -> Vm:
    """Return a VM with the passwords that only its process tells of, and all its displays."""
    by_place = {display.place: display for display in told.displays}
    if vm.displays and not any(one.place in by_place for one in vm.displays):
        return vm  # it was restarted in between: the process is the one before
    known = [by_place.pop(one.place, one) for one in vm.displays]
    return replace(vm, displays=(*known, *by_place.values()), process=told.process)


def _with_monitors(processes: Sequence[QemuVm], monitors: Sequence[QemuVm]) -> list[QemuVm]:
    """Return plain VMs, those with a monitor as that tells of them."""
    found = list(processes)
    for told in monitors:
        same = [
            one
            for one in found
            if (told.uuid and one.uuid == told.uuid) or (told.name and one.name == told.name)
        ]
        if not same:
            found.append(told)
        elif told.running:
            found[found.index(same[0])] = replace(told, uuid=told.uuid or same[0].uuid)
        else:
            found[found.index(same[0])] = replace(
                same[0], warnings=(*same[0].warnings, *told.warnings)
            )
    return found


def _plain_vms(host: str, processes: Sequence[QemuVm]) -> list[Vm]:
    """Return VMs with uuids that nobody else on the host has."""
    names = Counter(one.name for one in processes)
    uuids = Counter(one.uuid for one in processes)
    found = []
    for one in processes:
        place = str(one.displays[0].target) if one.displays else "no display"
        name = one.name or place
        warnings = one.warnings
        uuid = one.uuid or made_uuid(host, name)
        if one.uuid and uuids[one.uuid] > 1:
            warnings += (f"another VM of the host has its uuid {uuid}; give it its own",)
            uuid = made_uuid(host, f"{name} {place}")
        elif one.name and names[name] > 1:
            warnings += (f"another VM of the host is called {name} too; rename one of them",)
            uuid = one.uuid or made_uuid(host, f"{name} {place}")
        found.append(
            Vm(
                name=name,
                title=name,
                uuid=uuid,
                state="running" if one.running else "unknown" if one.warnings else "off",
                source="qemu",
                displays=one.displays,
                warnings=warnings,
                expect_name=f"QEMU ({one.name})" if one.name else NAMELESS,
                process=one.process,
            )
        )
    return found


def with_console(host: str, vm: Vm, consoles: Sequence[Typed]) -> Vm:
    """Return a VM with what its consoles say: a title, and a name where it has none."""
    if not consoles:
        return vm
    one = next((one for one in consoles if one.name == vm.name), consoles[0])
    name, uuid, title, warnings = vm.name, vm.uuid, vm.title, vm.warnings
    meant = one.name == name or (one.strict and one.expect_name == vm.expect_name)
    if meant and one.title != one.name:
        title = one.title
    if vm.expect_name == NAMELESS:
        name, title = one.name, one.title
        uuid = made_uuid(host, one.name) if uuid == made_uuid(host, vm.name) else uuid
    elif not meant:
        # Somebody's short name for it, or the console of a VM that is gone: who can tell?
        mend = f"if it is meant for it, write expect_name: {vm.expect_name}"
        warnings += (f"a console called {one.name} shows it; {mend}",)
    # Without a display of its own it may have one inside the guest, which somebody has typed.
    displays = vm.displays or (_typed_displays(one) if vm.state == "running" else ())
    return replace(
        vm, name=name, uuid=uuid, title=title, displays=displays, warnings=tuple(warnings)
    )


def typed_vm(host: str, one: Typed, state: str, known: Sequence[Vm]) -> Vm:
    """Return a VM that only its console knows of; ``state`` is what its target was seen in.

    Where one of the known VMs is at its target now, it counts as this VM only under its name.
    """
    taken = any(display.is_reached_by(one.vnc) for vm in known for display in vm.displays)
    return Vm(
        name=one.name,
        title=one.title,
        uuid=made_uuid(host, one.name),
        state=state,
        source="consoles",
        displays=_typed_displays(one),
        expect_name=one.expect_name if one.strict or taken else None,
    )


def _typed_displays(one: Typed) -> tuple[Display, ...]:
    if isinstance(one.vnc, UnixTarget):
        return (unix_display(one.vnc.path),)
    host = "127.0.0.1" if one.vnc.host == "localhost" else one.vnc.host
    if parse_address(host):
        return (tcp_display(host, one.vnc.port),)
    return (Display("ipv4", host, one.vnc.port, "", 0, None, False),)  # another machine's name


def with_warnings(vm: Vm) -> Vm:
    """Return a VM with a sentence on each listener of its own that lets in too many."""
    if vm.source == "consoles":
        return vm
    found = [words for display in vm.displays for words in _exposures(display)]
    return replace(vm, warnings=tuple(dict.fromkeys([*vm.warnings, *found])))


def _exposures(display: Display) -> Iterator[str]:
    address = parse_address(display.address)
    mend = "let its VNC server listen on 127.0.0.1 or on a unix socket"
    where = f"*:{display.port}" if display.wildcard else str(display.target)
    if address and not address.is_loopback and display.password_required is False:
        yield f"whoever reaches {where} controls it without a password; {mend}"
    elif display.wildcard:
        yield f"its VNC server listens on all addresses of the host ({where}); {mend}"
    if display.websocket_port and not display.password_required:
        yield (
            f"QEMU's own WebSocket on port {display.websocket_port} lets in any web page, as it"
            " takes every Origin; leave it out"
        )
