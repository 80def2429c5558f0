# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What is told of VMs and hosts, as JSON types. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from novnc_directory.paths import path_of
from novnc_directory.rights import CONTROL
from novnc_directory.vms import OFF, Listing, Vm


def console(vm: Vm, listing: Listing, may: str, gateway: str = "") -> dict[str, str]:
    """Return what `consoles.json` says of a VM; addresses are paths without a gateway's name."""
    path = path_of(listing.segment(vm))
    return {
        "host": vm.host,
        "vm": vm.name,
        "uuid": vm.uuid,
        "title": vm.title,
        "state": vm.state,
        "url": f"https://{gateway}{path}" if gateway else path,
        "websocket": f"wss://{gateway}{path}websockify" if gateway else f"{path}websockify",
        "may": may,
    }


def with_viewers(
    console: Mapping[str, Any], viewers: Mapping[str, list[dict[str, str]]]
) -> dict[str, Any]:
    """Return a console with those who look at it, for somebody who may control it."""
    if console["may"] != CONTROL:
        return dict(console)
    return {**console, "viewers": viewers.get(console["uuid"], [])}


def host(name: str, age: float | None, silent: bool) -> dict[str, Any]:
    """Return what the portal says of a host; the age is that of an old answer only."""
    return {
        "host": name,
        "age": round(age) if silent and age is not None else None,
        "silent": silent,
    }


def sentence(vm: Vm, age: float | None, silent: bool) -> str:
    """Return why a console cannot be shown now; empty if nothing is known against it."""
    if silent and age is None:
        return f"{vm.host} has not answered yet, so nobody knows whether {vm.name} runs."
    if silent and age is not None:
        return f"{vm.host} has been silent for {age:.0f} s; nobody knows whether {vm.name} runs."
    return f"{vm.name} is switched off." if vm.state == OFF else ""
