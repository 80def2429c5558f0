# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The VMs of a host: libvirt's, those of plain QEMU processes, and typed ones, each once.

Changes nothing, and never tells a password.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.units import CONSOLES_JSON
from ansible_collections.novnc.fleet.plugins.module_utils.vm import (
    Display,
    Vm,
    VmsError,
    own_uuid,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_asked import Asked
from ansible_collections.novnc.fleet.plugins.module_utils.vms_join import (
    join,
    typed_vm,
    with_console,
    with_warnings,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_libvirt import libvirt_domains
from ansible_collections.novnc.fleet.plugins.module_utils.vms_qemu import qemu_processes
from ansible_collections.novnc.fleet.plugins.module_utils.vms_qmp import ask_monitor
from ansible_collections.novnc.fleet.plugins.module_utils.vms_typed import (
    Typed,
    match,
    read_consoles,
)

__all__ = ["Display", "Survey", "Vm", "VmsError", "find_vm", "find_vms", "survey", "vms_called"]


@dataclass(frozen=True)
class Survey:
    """What a host has.

    Attributes:
        vms: Its VMs, those that only ``consoles.json`` knows among them.
        typed: Its typed consoles.
        uuid_of: The uuid of each console's VM, by the console's name.
        libvirt: Whether libvirt tells of VMs there, so that one that is off is known too.
    """

    vms: list[Vm]
    typed: list[Typed]
    uuid_of: dict[str, str]
    libvirt: bool


def find_vms(
    host: str,
    qmp: Mapping[str, str] | None = None,
    *,
    consoles: str = CONSOLES_JSON,
    timeout: float = 10.0,
    asked: Asked | None = None,
) -> list[Vm]:
    """Return the VMs of this host, each once; arguments and errors as in `survey`."""
    return survey(host, qmp, consoles=consoles, timeout=timeout, asked=asked).vms


def find_vm(vms: Sequence[Vm], name_or_uuid: str) -> Vm | None:
    """Return the only one of `vms_called`, or None.

    What has the form of a uuid is never taken for a name: who asks for a VM that is on another
    host by now must not get one that somebody has called so.

    Raises:
        VmsError: Several have that name.
    """
    found = vms_called(vms, name_or_uuid)
    if uuid := own_uuid(name_or_uuid):
        found = [vm for vm in found if vm.uuid == uuid]
    if len(found) > 1:
        uuids = " or ".join(sorted(vm.uuid for vm in found))
        raise VmsError(
            f"{len(found)} VMs of this host are called {name_or_uuid};"
            f" open one by its uuid, {uuids}"
        )
    return found[0] if found else None


def vms_called(vms: Sequence[Vm], name_or_uuid: str) -> list[Vm]:
    """Return the VM of a uuid, in whatever form, or those of an exact name; a uuid wins."""
    uuid = own_uuid(name_or_uuid)
    by_uuid = [vm for vm in vms if uuid and vm.uuid == uuid][:1]
    return by_uuid or [vm for vm in vms if vm.name == name_or_uuid]


def survey(
    host: str,
    qmp: Mapping[str, str] | None = None,
    *,
    consoles: str = CONSOLES_JSON,
    timeout: float = 10.0,
    asked: Asked | None = None,
) -> Survey:
    """Return what this host has.

    Args:
        host: Its name in the inventory; VMs without a uuid get one made of it and their name.
        qmp: Paths of QMP sockets of plain QEMU VMs, by the VM's name.
        consoles: Path of the typed consoles.
        timeout: Seconds in which libvirt has to answer.
        asked: Who has answered before, for those who look again and again.

    Raises:
        VmsError: libvirt does not answer, or ``consoles`` cannot be read.
    """
    typed = read_consoles(consoles)
    # Processes first: one that starts after that is libvirt's to tell, so none is told twice.
    processes = qemu_processes()
    monitors = [ask_monitor(name, path) for name, path in (qmp or {}).items()]
    domains = libvirt_domains(timeout)
    known = join(host, domains or [], processes, monitors)
    matched = match(typed, known)
    only_typed = [one for one in typed if one.name not in matched]
    states = (asked or Asked()).states(only_typed)
    found = [
        (with_console(host, vm, own), own)
        for vm in known
        for own in [[one for one in typed if matched.get(one.name) is vm]]
    ]
    found += [(typed_vm(host, one, state, known), [one]) for one, state in zip(only_typed, states)]
    return Survey(
        vms=[with_warnings(vm) for vm, _own in found],
        typed=typed,
        uuid_of={one.name: vm.uuid for vm, own in found for one in own},
        libvirt=domains is not None,
    )
