#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Ask a hypervisor what the planner has to know about it; changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: console_host_info
short_description: Tell what the planner of consoles has to know about a hypervisor
version_added: 0.1.0
description:
  - Reads addresses, interfaces, whether libvirt hands out displays, and whether the consoles'
    certificate can be used, in one call. It changes nothing.
options:
  tls_cert:
    description: Path of the consoles' certificate on the host; empty where they speak plain http.
    type: str
    default: ""
  tls_key:
    description: Path of its key on the host.
    type: str
    default: ""
  groups:
    description: Groups that the consoles are to belong to.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Reads only, so it does the same in check mode.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Ask the hypervisor
  novnc.fleet.console_host_info:
  register: info
"""

RETURN = r"""
addresses:
  description: All IP addresses of the host.
  type: list
  elements: str
  returned: always
  sample: ["127.0.0.1", "192.168.0.2", "::1"]
interfaces:
  description: The addresses of each interface.
  type: dict
  returned: always
  sample: {lo: ["127.0.0.1", "::1"], eth0: ["192.168.0.2"]}
default_ipv4:
  description: The address from which the host reaches its default gateway, or an empty text.
  type: str
  returned: always
  sample: 192.168.0.2
libvirt:
  description: Whether libvirt hands out displays there (its daemon or its socket is active).
  type: bool
  returned: always
listeners:
  description: What listens on TCP and is not a console of ours, in no order.
  type: list
  elements: dict
  returned: always
  sample: [{address: 127.0.0.1, port: 5900, owner: "qemu-system-x86, process 173", v6_only: false}]
ephemeral_ports:
  description: First and last port that the kernel hands out by itself.
  type: list
  elements: int
  returned: always
  sample: [32768, 60999]
missing_groups:
  description: Those of O(groups) that the host does not have.
  type: list
  elements: str
  returned: always
version:
  description: What its consoles are started with (C(NOVNC_CONSOLE_VERSION)); empty without any.
  type: str
  returned: always
tls_fault:
  description: Why the certificate cannot be used; empty where it can, or none is wanted.
  type: str
  returned: always
"""

import glob
import grp
import json
import re
import ssl
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.listeners import SS, Listener, parse_ss
from ansible_collections.novnc.fleet.plugins.module_utils.units import DROP_IN, UNITS
from ansible_collections.novnc.fleet.plugins.module_utils.vms_libvirt import (
    UNITS as LIBVIRT_UNITS,
)


def interfaces(module: AnsibleModule) -> dict[str, list[str]]:
    """Return the addresses of each interface, in the kernel's order."""
    found: dict[str, list[str]] = {}
    for link in _ip(module, "address", "show"):
        addresses = [entry.get("local") for entry in link.get("addr_info", [])]
        found[link["ifname"]] = [address for address in addresses if address]
    return found


def default_ipv4(module: AnsibleModule, links: dict[str, list[str]]) -> str:
    """Return the source address of the default route, or an empty text."""
    for route in _ip(module, "-4", "route", "show", "default"):
        if "prefsrc" in route:
            return str(route["prefsrc"])
        # Most routes do not name their source; the kernel tells it. Nothing is sent.
        for way in (
            _ip(module, "-4", "route", "get", route["gateway"]) if "gateway" in route else ()
        ):
            return str(way.get("prefsrc", ""))
        for address in links.get(route.get("dev", ""), ()):
            if ":" not in address:
                return address
    return ""


def _ip(module: AnsibleModule, *words: str) -> list[dict[str, Any]]:
    status, out, error = module.run_command(["ip", "-json", *words])
    if status != 0:
        module.fail_json(msg=f"'ip {' '.join(words)}' failed: {error.strip()}; is iproute2 there?")
    data: list[dict[str, Any]] = json.loads(out or "[]")
    return [entry for entry in data if entry]


def libvirt_is_active(module: AnsibleModule) -> bool:
    """Tell whether libvirt's daemon runs or would be started by its socket."""
    status, _out, _error = module.run_command(["systemctl", "is-active", "--quiet", *LIBVIRT_UNITS])
    return bool(status == 0)


def foreign_listeners(module: AnsibleModule) -> list[Listener]:
    """Return what listens on the host and is not a console of ours."""
    status, out, error = module.run_command(list(SS))
    if status != 0:
        module.fail_json(msg=f"'{' '.join(SS)}' failed: {error.strip()}; is iproute2 there?")
    ours, sure = own_listeners(module)
    # systemd holds our listeners, or the console's own process, which got it from there.
    holder = re.compile(r"systemd|\(?python3|an unknown")
    return [
        listener
        for listener in parse_ss(str(out))
        if not holder.match(listener.owner) or (sure and str(listener) not in ours)
    ]


def own_listeners(module: AnsibleModule) -> tuple[set[str], bool]:
    """Return where consoles of ours listen, and whether that is all of them.

    systemd no longer tells it of a console whose files somebody has removed while it ran.
    """
    ours: set[str] = set()
    for path in glob.glob(f"{UNITS}/novnc-console@*.socket.d/{DROP_IN}"):
        with open(path, encoding="utf-8") as file:
            ours.update(re.findall(r"^ListenStream=(.*)$", file.read(), re.MULTILINE))
    properties = "--property=Id,ActiveState,Listen"
    _status, out, _error = module.run_command(
        ["systemctl", "show", "--all", properties, "novnc-console@*.socket"]
    )
    active = [unit for unit in str(out).split("\n\n") if "ActiveState=active" in unit]
    return ours, all("Listen=" in unit for unit in active)


def ephemeral_ports() -> list[int]:
    """Return first and last port that the kernel hands out by itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def missing_groups(groups: list[str]) -> list[str]:
    """Return those groups that the host does not have."""
    known = {entry.gr_name for entry in grp.getgrall()}
    return [group for group in groups if group not in known]


def version() -> str:
    """Return what the consoles' unit says that they are started with; empty without a unit."""
    try:
        with open(f"{UNITS}/novnc-console@.service", encoding="utf-8") as file:
            found = re.search(
                r'^Environment="NOVNC_CONSOLE_VERSION=(.*)"$', file.read(), re.MULTILINE
            )
    except FileNotFoundError:
        return ""
    return found[1] if found else ""


def tls_fault(cert: str, key: str) -> str:
    """Return why a certificate and its key cannot be used, or an empty text."""
    if not cert and not key:
        return ""
    if not cert or not key:
        return "novnc_console_tls_cert and novnc_console_tls_key go together; write both or none"
    for name, path in (("novnc_console_tls_cert", cert), ("novnc_console_tls_key", key)):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            return f"{name} {path} cannot be read on the host: {error.strerror}"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError) as error:
        return (
            f"novnc_console_tls_cert {cert} and novnc_console_tls_key {key} are no"
            f" certificate with its key: {error}"
        )
    return ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "tls_cert": {"type": "str", "default": ""},
            "tls_key": {"type": "str", "default": "", "no_log": False},
            "groups": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    links = interfaces(module)
    module.exit_json(
        addresses=[address for found in links.values() for address in found],
        interfaces=links,
        default_ipv4=default_ipv4(module, links),
        libvirt=libvirt_is_active(module),
        listeners=[{**vars(one), "address": str(one.address)} for one in foreign_listeners(module)],
        ephemeral_ports=ephemeral_ports(),
        missing_groups=missing_groups(module.params["groups"]),
        version=version(),
        tls_fault=tls_fault(module.params["tls_cert"], module.params["tls_key"]),
    )


if __name__ == "__main__":
    main()
