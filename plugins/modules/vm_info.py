#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Tell which VMs a hypervisor has; changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: Tell which VMs a hypervisor has, and where their screens are
version_added: 0.1.0
description:
  - Finds the VMs of a host in libvirt (read-only), among the processes of plain QEMU, and in the
    host's list of typed consoles, and tells of each once. They are joined by uuid, and typed
    consoles by the desktop name that they expect or else by their target.
  - libvirt that is there (its service or socket is enabled, or not at rest) and does not answer
    is a failure, never an empty list. libvirt's C(virsh) is asked; no library is needed.
  - Tells no password, only whether there is one. It changes nothing.
options:
  host:
    description:
      - The host's name in the inventory.
      - VMs without a uuid of their own get one made of it and their name. By default the name
        that the host has for itself.
    type: str
  qmp:
    description:
      - Unix sockets of the monitors (QMP) of plain QEMU VMs, by the VM's name.
      - Such a VM is known when it is off too, and its displays are told by itself.
    type: dict
    default: {}
  consoles:
    description: The list of typed consoles; without that file there are none.
    type: path
    default: /etc/novnc-fleet/consoles.json
  timeout:
    description: Seconds in which libvirt has to answer.
    type: float
    default: 10
attributes:
  check_mode:
    description: Can run in check mode and predict changes without making any.
    support: full
    details: Reads only, so it does the same in check mode.
  diff_mode:
    description: Returns details on what has changed, or would change, when in diff mode.
    support: none
    details: Nothing is ever changed.
  platform:
    description: Target operating systems.
    support: full
    platforms: posix
notes:
  - Passwords, and displays that QEMU has chosen itself (C(to=)), can be told by root only.
  - QEMU processes in containers are left out, as their addresses are not the host's.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Find the host's VMs
  novnc.fleet.vm_info:
    host: "{{ inventory_hostname }}"
  become: true
  register: found

- name: Find them, with a plain QEMU VM that has a monitor
  novnc.fleet.vm_info:
    host: "{{ inventory_hostname }}"
    qmp: {db01: /run/qemu/db01.qmp}
  become: true
  register: found
"""

RETURN = r"""
vms:
  description: The VMs, each once.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The VM's own name; one that has none goes by its console's, or its display.
      type: str
      sample: web01
    title:
      description: What people read.
      type: str
      sample: Shop, front end
    uuid:
      description: Its own uuid, or one that is always the same for its host and name.
      type: str
      sample: 37fb02bb-8b13-475c-aabc-64fbb773bed4
    state:
      description:
        - V(running) (paused too), V(off) or V(unknown).
        - Of one known by its console only, V(off) is said where nothing listens at its target.
      type: str
      sample: running
    source:
      description: Who knows it, V(libvirt), V(qemu) or V(consoles), the first of them.
      type: str
      sample: libvirt
    displays:
      description:
        - Where its VNC servers listen; of one that is off, where they will, if that is written.
        - Empty where it has none, or where libvirt chooses the port at the next start.
      type: list
      elements: dict
      contains:
        type:
          description: Always V(vnc).
          type: str
          sample: vnc
        family:
          description: V(ipv4), V(ipv6) or V(unix).
          type: str
          sample: ipv4
        address:
          description: IP address (or the name that was typed); empty for unix.
          type: str
          sample: 127.0.0.1
        port:
          description: TCP port; V(0) for unix.
          type: int
          sample: 5900
        socket:
          description: Path of the socket; empty for TCP.
          type: str
          sample: ""
        websocket_port:
          description: TCP port of QEMU's own WebSocket; V(0) without.
          type: int
          sample: 0
        password_required:
          description: Whether it wants a login; null where nobody can tell.
          type: bool
          sample: false
        wildcard:
          description: Whether it listens on all addresses of the host.
          type: bool
          sample: false
    expect_name:
      description: Desktop name that its VNC servers announce; null where nobody can tell.
      type: str
      sample: QEMU (web01)
    warnings:
      description: What is odd or unsafe about it, each a sentence with a mend.
      type: list
      elements: str
      sample: []
consoles:
  description: The typed consoles.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What the console is called.
      type: str
      sample: web01
    vnc:
      description: Its target, as it was typed.
      type: str
      sample: 127.0.0.1:5900
    local:
      description: Whether that is on the host itself.
      type: bool
      sample: true
    direct:
      description: Whether the console has a listener of its own.
      type: bool
      sample: true
    uuid:
      description: The uuid of its VM among RV(vms).
      type: str
      sample: 37fb02bb-8b13-475c-aabc-64fbb773bed4
    found:
      description: Whether its target is, as of now, a display of that VM.
      type: bool
      sample: true
libvirt:
  description: Whether libvirt tells of VMs there, and so knows those that are off.
  returned: success
  type: bool
  sample: true
"""

import platform
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.units import CONSOLES_JSON
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Survey, VmsError, survey


def told_consoles(found: Survey) -> list[dict[str, Any]]:
    """Return the typed consoles as data."""
    vm_of = {vm.uuid: vm for vm in found.vms}
    return [
        {
            "name": one.name,
            "vnc": str(one.vnc),
            "local": one.local,
            "direct": one.direct,
            "uuid": found.uuid_of[one.name],
            "found": any(
                display.is_reached_by(one.vnc)
                for display in vm_of[found.uuid_of[one.name]].displays
            ),
        }
        for one in found.typed
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str"},
            "qmp": {"type": "dict", "default": {}},
            "consoles": {"type": "path", "default": CONSOLES_JSON},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    options = module.params
    if options["timeout"] <= 0:
        module.fail_json(msg=f"timeout is {options['timeout']:g}; it must be more than 0 seconds")
    try:
        found = survey(
            options["host"] or platform.node(),
            options["qmp"],
            consoles=options["consoles"],
            timeout=options["timeout"],
        )
    except VmsError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        vms=[vm.as_data() for vm in found.vms],
        consoles=told_consoles(found),
        libvirt=found.libvirt,
    )


if __name__ == "__main__":
    main()
