#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Issue certificates of a private authority, on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificates
short_description: Issue certificates of a private authority, on the controller
version_added: 0.1.0
description:
  - Keeps an authority (C(ca.crt), C(ca.key)) and its certificates in a directory of the controller,
    made when they are missing and renewed when a third of their life is left. Keys are P-256 and
    readable by their owner only.
  - The authority lasts ten years and is renewed with the same key; certificates last one.
  - Runs on the controller alone, whatever the host.
options:
  directory:
    description: Directory on the controller. Nothing in it is for a repository.
    type: path
    required: true
  servers:
    description:
      - Names of servers, each with the other names and the IP addresses that its certificate bears.
        It is C(servers/NAME.crt), with its key beside it.
    type: dict
    default: {}
  clients:
    description: Names of clients, whose certificates are C(NAME.crt), with their keys beside them.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Tells what a real run would write and writes nothing.
  diff_mode:
    support: none
    description: Tells only which files change.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Issue the endpoint's certificate
  novnc.fleet.certificates:
    directory: "{{ novnc_pki_dir }}"
    servers: {kvm1: [192.0.2.2]}
    clients: [gateway]
"""

RETURN = r"""
written:
  description: The files that were written, or would be.
  returned: always
  type: list
  elements: str
"""
