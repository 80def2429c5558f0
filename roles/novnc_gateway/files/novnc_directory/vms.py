# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The fleet's VMs from what its hosts tell, and which of them a name means. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.vm import own_uuid

from novnc_directory.paths import is_segment

RUNNING, OFF, UNKNOWN = "running", "off", "unknown"
STATES = (RUNNING, UNKNOWN, OFF)
"""All of them; of several hosts that know a VM, it is where its state comes first here."""
_LONGEST = 255


@dataclass(frozen=True)
class Vm:
    """A VM on a host.

    Attributes:
        host: The host's name in the inventory.
        name: Its own name there.
        uuid: What it is known by wherever it is.
        title: What people read.
        state: ``running``, ``off`` or ``unknown``.
    """

    host: str
    name: str
    uuid: str
    title: str
    state: str


def read_vms(host: str, data: Any) -> tuple[Vm, ...]:
    """Return the VMs that an endpoint tells of in its ``consoles.json``. Raises ValueError."""
    if not isinstance(data, list):
        raise ValueError("consoles.json is no list")
    return tuple(_read_vm(host, one) for one in data)


def _read_vm(host: str, data: Any) -> Vm:
    keys = ("vm", "uuid", "title", "state")
    texts = [data.get(key) if isinstance(data, dict) else None for key in keys]
    name, uuid, title, state = (text if isinstance(text, str) else "" for text in texts)
    if not (name and own_uuid(uuid) and state in STATES):
        raise ValueError(f"consoles.json has an entry that is no VM: {str(data)[:_LONGEST]}")
    return Vm(host, name[:_LONGEST], own_uuid(uuid), title[:_LONGEST] or name, state)


def merge(
    answers: Mapping[str, Iterable[Vm]], silent: Collection[str], before: Mapping[str, str]
) -> tuple[Vm, ...]:
    """Return every VM once: where it runs, or else where it was.

    Args:
        answers: The last VMs of each host.
        silent: Hosts that have not answered since; what state their VMs are in nobody knows.
        before: On which host each uuid was so far.
    """
    known: dict[str, list[Vm]] = defaultdict(list)
    for host in sorted(answers):
        for vm in answers[host]:
            known[vm.uuid].append(replace(vm, state=UNKNOWN) if host in silent else vm)
    found = [
        min(vms, key=lambda vm: (STATES.index(vm.state), before.get(vm.uuid) != vm.host))
        for vms in known.values()
    ]
    return tuple(sorted(found, key=lambda vm: (vm.host, vm.name, vm.uuid)))


class Listing:
    """VMs that somebody may see. To them there are no others, whatever names those have.

    Attributes:
        told: What was made of them already, by what it is for.
    """

    def __init__(self, vms: Iterable[Vm]) -> None:
        self.vms = tuple(vms)
        self.told: dict[str, list[dict[str, str]]] = {}
        self._by_uuid = {vm.uuid: vm for vm in self.vms}
        self._by_name: dict[str, list[Vm]] = defaultdict(list)
        self._by_place: dict[str, list[Vm]] = defaultdict(list)
        for vm in self.vms:
            self._by_name[vm.name].append(vm)
            self._by_place[f"{vm.name}@{vm.host}"].append(vm)

    def find(self, segment: str) -> list[Vm]:
        """Return the VMs that a uuid, a name or ``name@host`` means, in this order."""
        vm = self._by_uuid.get(own_uuid(segment))
        return [vm] if vm else self._by_name.get(segment) or self._by_place.get(segment, [])

    def segment(self, vm: Vm) -> str:
        """Return the shortest of these that means this VM and no other."""
        names = (vm.name, f"{vm.name}@{vm.host}")
        fit = (name for name in names if is_segment(name) and self.find(name) == [vm])
        return next(fit, vm.uuid)
