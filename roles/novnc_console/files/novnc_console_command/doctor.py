# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The hops from a VM to its consoles, in order: QEMU, RFB, and each way in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.diagnosis import (
    BrokenError,
    Step,
    as_data,
    walk,
)
from ansible_collections.novnc.fleet.plugins.module_utils.probe import ProbeResult, probe
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Survey, Vm, VmsError

from novnc_console_command.control import Control
from novnc_console_command.host import Host, Known
from novnc_console_command.way_direct import direct_steps
from novnc_console_command.way_endpoint import endpoint_steps

RFB_TIMEOUT = 5.0
"""Seconds in which a VNC server has to answer."""

_SOURCES = {"libvirt": "libvirt", "qemu": "QEMU's process", "consoles": "its VNC server"}


def diagnose(host: Host, control: Control, name: str) -> dict[str, Any]:
    """Walk the way to a VM's consoles.

    Returns:
        JSON types: ``host``, ``vm``, ``uuid``, ``known`` (whether the host has such a VM; None if
        nobody can tell), ``hops``, ``fault`` (the broken hop's name), and for whoever goes on from
        elsewhere ``consoles``, its direct ones of ``consoles.json``, and ``endpoint``,
        ``address:port`` or empty.

    Raises:
        UsageError: Several VMs have the name.
        SystemdError: systemd cannot be asked.
    """
    about = {"host": host.name, "vm": name, "uuid": "", "consoles": [], "endpoint": ""}
    try:
        known = host.look()
    except VmsError as error:
        return {**about, "known": None, **as_data(walk([("vm", _broken(str(error), ""))]))}
    vm = known.find(name)
    if vm is None:
        words = f"there is no VM of the name or uuid {name!r} on {host.name}"
        mend = "'novnc-console list' tells which there are"
        return {**about, "known": False, **as_data(walk([("vm", _broken(words, mend))]))}
    return {
        "host": host.name,
        "vm": vm.name,
        "uuid": vm.uuid,
        "known": True,
        "consoles": known.direct_consoles(vm),
        "endpoint": known.endpoint.get("address", ""),
        **as_data(walk(steps(host, control, known, vm))),
    }


def _broken(detail: str, mend: str) -> Any:
    def step() -> str:
        raise BrokenError(detail, mend)

    return step


def steps(host: Host, control: Control, known: Known, vm: Vm) -> Iterator[Step]:
    """Yield the hops of a VM's consoles, each to be gone before the next is asked for."""
    yield "vm", lambda: _runs(vm)
    seen = probe(
        str(vm.displays[0].target),
        expect_name=vm.expect_name,
        other_names=other_names(known.survey, vm),
        timeout=RFB_TIMEOUT,
    )
    yield "target", lambda: _listens(seen)
    yield "rfb", lambda: _announces(vm, seen)
    consoles = known.direct_consoles(vm)
    for console in consoles:
        yield from direct_steps(host, known, vm, console)
    if known.endpoint:
        yield from endpoint_steps(host, control, known, vm)
    elif not consoles:
        words = f"{vm.name} has no console: it has no direct one, and {host.name} no endpoint"
        yield "console", _broken(words, "add it to novnc_vms and run playbooks/consoles.yml")


def other_names(survey: Survey, vm: Vm) -> set[str]:
    """Return the desktop names that other VMs of the host announce. Pure."""
    return {one.expect_name for one in survey.vms if one.expect_name and one.uuid != vm.uuid}


def _runs(vm: Vm) -> str:
    if vm.state == "off":
        if vm.source == "consoles":
            words = f"{vm.name} is switched off, as nothing listens at {vm.displays[0].target}"
            raise BrokenError(words, "start it, or correct its vnc in novnc_vms")
        raise BrokenError(f"{vm.name} is switched off", "start it")
    if not vm.displays:
        words = vm.warnings[0] if vm.state == "unknown" and vm.warnings else ""
        raise BrokenError(
            words or f"{vm.name} has no VNC server",
            "" if words else "give it one (<graphics type='vnc'/> in libvirt, -vnc in QEMU)",
        )
    return f"{vm.name} is {vm.state}, says {_SOURCES[vm.source]}"


def _listens(seen: ProbeResult) -> str:
    if seen.hop in ("resolve", "connect"):
        words = f"its VNC server cannot be reached: {seen.error}"
        raise BrokenError(words, "see what QEMU says (virsh domdisplay, or its log)")
    return f"its VNC server listens at {seen.target}"


def _announces(vm: Vm, seen: ProbeResult) -> str:
    if seen.hop == "name":
        raise BrokenError(str(seen.error), "")
    if not seen.ok:
        mend = "QEMU's process stands still or is overloaded; look at it, and restart the VM"
        if seen.hop == "refused":
            mend = "close consoles that nobody uses ('novnc-console sessions')"
        raise BrokenError(f"its VNC server does not speak RFB: {seen.error}", mend)
    version = (seen.version or "").lstrip("0").replace(".00", ".")
    if seen.desktop_name is None:
        return f"it speaks RFB {version} and wants a login before it tells its name"
    if not seen.verified and vm.expect_name:
        return f"it speaks RFB {version} and announces {seen.desktop_name!r}, which proves nothing"
    return f"it speaks RFB {version} and announces {seen.desktop_name!r}"
