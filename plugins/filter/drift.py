# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters that compare a fleet's VMs with its typed consoles, and show what came of it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drift
short_description: Tell where VMs and typed consoles no longer fit together
version_added: 0.1.0
description:
  - Compares, host by host, what M(novnc.fleet.vm_info) found.
  - VMs that are switched off are no drift. A typed target on the host itself where nothing
    listens is a console without a VM only where libvirt tells of the VMs.
positional: _input, endpoints
options:
  _input:
    description: What M(novnc.fleet.vm_info) returned, by the host's name.
    type: dict
    required: true
  endpoints:
    description:
      - Hosts with an endpoint, which gives every VM a console.
      - VMs count as missing there only if the host has direct consoles too.
    type: list
    elements: str
    default: []
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Compare
  ansible.builtin.set_fact:
    drift: "{{ {'kvm1': found} | novnc.fleet.drift }}"
"""

RETURN = r"""
_value:
  description: What has drifted.
  type: dict
  contains:
    missing:
      description: Running VMs that no console shows, with C(host), C(vm), C(uuid), C(displays).
      type: list
      elements: dict
    orphaned:
      description: Consoles (C(vm)) of no VM, with C(host), C(uuid) and their target C(vnc).
      type: list
      elements: dict
    moved:
      description:
        - Consoles whose VM is elsewhere, with C(host), C(vm), C(uuid), their target C(vnc), and the
          C(displays) that the VM has now.
      type: list
      elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.drift import doubts, drift, table


class FilterModule:
    """Names the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"drift": drift, "drift_doubts": doubts, "drift_table": table}
