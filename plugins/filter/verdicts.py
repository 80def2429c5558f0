# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters of a check: what to probe, what it comes to, and how to show it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: verdicts
short_description: Judge consoles by what probes saw
version_added: 0.1.0
description:
  - Tells of each console whether its VM is running and rightly shown, running but unverified
    (its VNC server announces no name that could be held against it), off, or at fault.
positional: _input, servers, visits
options:
  _input:
    description: The host's C(consoles.json).
    type: list
    elements: dict
    required: true
  servers:
    description: Results of M(novnc.fleet.console_probe) for the VNC servers, on the hypervisor.
    type: list
    elements: dict
    required: true
  visits:
    description: Results of M(novnc.fleet.console_probe) for the consoles.
    type: list
    elements: dict
    required: true
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Judge
  ansible.builtin.set_fact:
    verdicts: "{{ consoles | novnc.fleet.verdicts(servers.results, visits.results) }}"
"""

RETURN = r"""
_value:
  description: One entry a console, with C(host), C(vm), C(url), C(state), C(verdict), C(error).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.verdict import (
    endpoint_consoles,
    endpoint_targets,
    endpoint_verdicts,
    gateway_consoles,
    probe_targets,
    table,
    unlisted,
    verdicts,
)


class FilterModule:
    """Names the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "endpoint_consoles": endpoint_consoles,
            "endpoint_targets": endpoint_targets,
            "endpoint_verdicts": endpoint_verdicts,
            "gateway_consoles": gateway_consoles,
            "gateway_unlisted": unlisted,
            "probe_targets": probe_targets,
            "verdict_table": table,
            "verdicts": verdicts,
        }
