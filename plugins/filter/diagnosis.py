# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters of playbooks/doctor.yml: where the controller goes, and what it all comes to."""

from __future__ import annotations

DOCUMENTATION = r"""
name: diagnosis
short_description: Tell what is wrong with a VM's consoles
version_added: 0.1.0
description:
  - Puts together what C(novnc-console doctor --json) told on all hypervisors and what the
    controller saw of the consoles.
positional: _input, vm, seen
options:
  _input:
    description: What the command came to, registered, by the host's name.
    type: dict
    required: true
  vm:
    description: The VM's name or uuid.
    type: str
    required: true
  seen:
    description:
      - Results of M(novnc.fleet.console_probe) for what P(novnc.fleet.diagnosis_visits#filter)
        returned, in a dictionary with its keys, by the host's name.
    type: dict
    default: {}
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ ({'kvm1': asked} | novnc.fleet.diagnosis('web01', {})).report }}"
"""

RETURN = r"""
_value:
  description: The report.
  type: dict
  contains:
    report:
      description: Lines for people, each hop of each host that has the VM.
      type: list
      elements: str
    faults:
      description: What is wrong, a sentence each; empty if all is well.
      type: list
      elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.fleet_diagnosis import diagnosis, visits


class FilterModule:
    """Names the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"diagnosis": diagnosis, "diagnosis_visits": visits}
