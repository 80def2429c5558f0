# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters of the direct consoles: the planner and the verdicts of a check."""

from __future__ import annotations

DOCUMENTATION = r"""
name: consoles
short_description: Complete a host's novnc_vms, or say what cannot work
version_added: 0.1.0
description:
  - The planner. Completes every entry of C(novnc_vms) with its listener, URL, expected desktop
    name and allowed origins, by the port rule and the address rule.
  - It asks and changes nothing; what it has to know about the host comes from
    M(novnc.fleet.console_host_info).
positional: _input
options:
  _input:
    description: The host's C(novnc_vms).
    type: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  names:
    description: Other names and addresses under which people reach the host.
    type: list
    elements: str
    default: []
  info:
    description: What M(novnc.fleet.console_host_info) returned for the host.
    type: dict
    required: true
  listen_address:
    description: The role's C(novnc_console_listen_address).
    type: str
    default: ""
  interface:
    description: The role's C(novnc_console_interface).
    type: str
    default: ""
  tls:
    description: Whether the host's consoles speak TLS.
    type: bool
    default: false
  allowed_origins:
    description: The role's C(novnc_console_allowed_origins).
    type: list
    elements: str
    default: []
  memory_max:
    description: The role's C(novnc_console_memory_max).
    type: str
    default: ""
  endpoint:
    description: Where the host's endpoint listens, as C(address:port); empty without one.
    type: str
    default: ""
  direct:
    description: The role's C(novnc_console_direct).
    type: bool
    default: true
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Plan
  ansible.builtin.set_fact:
    plan: "{{ novnc_vms | novnc.fleet.consoles(host=inventory_hostname, info=info) }}"
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    direct:
      description: Whether the consoles have listeners of their own.
      type: bool
    consoles:
      description:
        - One entry a VM, in the inventory's order, with C(host), C(vm), C(title), C(vnc),
          C(listen), C(url), C(websocket), C(expect_name), C(expect_strict) and C(origins).
        - Where direct consoles are off, C(listen), C(url), C(websocket) and C(origins) are empty.
      type: list
      elements: dict
    faults:
      description: What cannot work, each a sentence that names host, VM, value and mend.
      type: list
      elements: str
    notes:
      description: What works and is odd, told in the same way.
      type: list
      elements: str
"""

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
