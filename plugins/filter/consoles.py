# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters of the direct consoles: the planner and the verdicts of a check."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.listeners import Listener
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, parse_target
from ansible_collections.novnc.fleet.plugins.module_utils.plan import make_plan
from ansible_collections.novnc.fleet.plugins.module_utils.rules import Host, Settings


def consoles(
    vms: object,
    host: str,
    info: Mapping[str, Any],
    *,
    names: Sequence[str] = (),
    listen_address: str = "",
    interface: str = "",
    tls: bool = False,
    allowed_origins: Sequence[str] | str = (),
    memory_max: str = "",
    endpoint: str = "",
    direct: bool = True,
) -> dict[str, Any]:
    """Return the plan of one host as data (see DOCUMENTATION)."""
    facts = Host(
        name=host,
        names=tuple(str(name) for name in names),
        addresses=tuple(info["addresses"]),
        interfaces={name: tuple(found) for name, found in info["interfaces"].items()},
        default_ipv4=info["default_ipv4"],
        libvirt=info["libvirt"],
        listeners=tuple(
            Listener(
                ipaddress.ip_address(one["address"]), one["port"], one["owner"], one["v6_only"]
            )
            for one in info["listeners"]
        ),
        ephemeral_ports=(info["ephemeral_ports"][0], info["ephemeral_ports"][1]),
        missing_groups=tuple(info["missing_groups"]),
        tls_fault=info["tls_fault"],
    )
    port = parse_target(endpoint) if endpoint else None
    settings = Settings(
        listen_address=listen_address,
        interface=interface,
        tls=tls,
        # Ansible's role specifications let a text pass for a list of one.
        allowed_origins=tuple(
            [allowed_origins] if isinstance(allowed_origins, str) else allowed_origins
        ),
        memory_max=str(memory_max),
        endpoint=port if isinstance(port, TcpTarget) else None,
        direct=direct,
    )
    return make_plan(vms, facts, settings).as_data()


class FilterModule:
    """Names the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"consoles": consoles}
