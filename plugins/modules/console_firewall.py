#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Let visitors of a hypervisor's consoles through its firewall, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: console_firewall
short_description: Let visitors of a hypervisor's consoles through its firewall
version_added: 0.1.0
description:
  - Opens exactly the consoles' ports in the firewall that is in force, each on its own address,
    and closes those that this module has opened and that are no longer listed. Looks for
    firewalld, then ufw, then chains of nftables that drop or reject what comes in. Where none is
    in force nothing is done.
  - Rules that others wrote are not touched. Ours bear the comment C(novnc-fleet), in firewalld,
    which has no comments, the priority 5900.
  - In firewalld the rules stand in the zone of the interface that has the address, and in every
    zone of sources; in ufw behind all others. What somebody denies there stays denied. In nftables
    they come first in each chain that drops, and a drop-in of C(nftables.service) puts them back
    whenever it is reloaded.
  - Chains of iptables and of other programs, and rules that look at who sends, stay as they are.
options:
  listens:
    description:
      - Where the consoles listen, C(address:port) or C([v6]:port), as C(listen) of the host's plan.
        A loopback address needs nothing.
      - Required unless O(state=absent).
    type: list
    elements: str
  state:
    description:
      - V(absent) closes every port that this module has opened, also in a firewall that is not in
        force now.
    type: str
    choices: [present, absent]
    default: present
  prune:
    description: Whether ports that are not listed are closed, if this module opened them.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Tells what a real run would do and does nothing.
  diff_mode:
    support: full
    description: Shows the rules of this module, before and after.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Let visitors through
  novnc.fleet.console_firewall:
    listens: "{{ plan.consoles | map(attribute='listen') }}"
"""

RETURN = r"""
firewall:
  description: Which firewall is in force, V(firewalld), V(ufw), V(nftables) or V(none).
  type: str
  returned: always
opened:
  description: Each C(address:port) that was not open and is now.
  type: list
  elements: str
  returned: always
closed:
  description: Each C(address:port) that was open and is no longer.
  type: list
  elements: str
  returned: always
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils import (
    firewall_firewalld,
    firewall_nftables,
    firewall_ufw,
)
from ansible_collections.novnc.fleet.plugins.module_utils.files import (
    read_entry,
    remove_entry,
    write_entry,
)
from ansible_collections.novnc.fleet.plugins.module_utils.firewall import (
    FirewallError,
    Opening,
    Plan,
    openings,
)
from ansible_collections.novnc.fleet.plugins.module_utils.lock import locked
from ansible_collections.novnc.fleet.plugins.module_utils.nft_ruleset import Ruleset
from ansible_collections.novnc.fleet.plugins.module_utils.units import UNITS

FIREWALLD_NOT_RUNNING = 252
"""What ``firewall-cmd --state`` exits with where there is nobody to ask (firewall-cmd(1))."""


class Host:
    """The firewalls of the host that the module runs on."""

    def __init__(self, module: AnsibleModule) -> None:
        absent = module.params["state"] == "absent"
        self._module = module
        self.firewalld = self.has("firewall-cmd") and self._firewalld_runs()
        self.ufw = self.has("ufw") and firewall_ufw.is_active(self.run("ufw", "status"))
        self.nft = self._module.get_bin_path("nft") or ""
        self.ruleset = Ruleset({"nftables": []})
        # nft prints the chains of the other two as well, and those may be large.
        if self.nft and (absent or not (self.firewalld or self.ufw)):
            self.ruleset = Ruleset(json.loads(self.run(self.nft, "-j", "list", "ruleset")))

    @property
    def firewall(self) -> str:
        """The firewall that is in force."""
        if self.firewalld:
            return "firewalld"
        if self.ufw:
            return "ufw"
        return "nftables" if self.ruleset.dropping() else "none"

    def has(self, program: str) -> bool:
        """Tell whether a program is installed."""
        return bool(self._module.get_bin_path(program))

    def run(self, *words: str, data: str = "") -> str:
        """Return what a command prints. Raises FirewallError with its words if it fails."""
        status, out, error = self._module.run_command(list(words), data=data or None)
        if status != 0:
            told = (error or out).strip() or f"exit status {status}"
            raise FirewallError(f"'{' '.join(words)[:200]}' failed: {told}")
        return str(out)

    def _firewalld_runs(self) -> bool:
        status, out, error = self._module.run_command(["firewall-cmd", "--state"])
        if status not in (0, FIREWALLD_NOT_RUNNING):
            raise FirewallError(f"'firewall-cmd --state' failed: {(error or out).strip()}")
        return bool(status == 0)

    def plan_firewalld(self, wanted: Sequence[Opening]) -> Plan:
        """Plan for firewalld, running or not."""
        commands = ["firewall-cmd", "firewall-cmd --permanent"]
        settings = {
            command: firewall_firewalld.parse_zones(self.run(*command.split(), "--list-all-zones"))
            for command in (commands if self.firewalld else ["firewall-offline-cmd"])
        }
        default = self.run(next(iter(settings)), "--get-default-zone").strip()
        interfaces = firewall_firewalld.parse_interfaces(self.run("ip", "-json", "address"))
        return firewall_firewalld.plan(wanted, settings, default, interfaces)

    def plan_ufw(self, wanted: Sequence[Opening]) -> Plan:
        """Plan for ufw, active or not."""
        rules = []
        for path in firewall_ufw.RULES:
            with open(path, encoding="utf-8") as file:
                rules.append(file.read())
        return firewall_ufw.plan("\n".join(rules), wanted)

    def plan_nftables(self, wanted: Sequence[Opening]) -> Plan:
        """Plan for a ruleset of nftables."""
        properties = "--property=NeedDaemonReload,UnitFileState"
        shown = self.run("systemctl", "show", properties, firewall_nftables.SERVICE)
        return firewall_nftables.plan(
            self.ruleset,
            wanted,
            nft=self.nft,
            standing={path: read_entry(path) for path in firewall_nftables.FILES},
            service=dict(line.split("=", 1) for line in shown.splitlines()),
        )

    def plans(self) -> list[Callable[[Sequence[Opening]], Plan]]:
        """Return how to plan for each firewall that may have rules of ours, in force or not."""
        found: list[Callable[[Sequence[Opening]], Plan]] = [self.plan_nftables]
        if self.has("firewall-cmd"):
            found.append(self.plan_firewalld)
        if self.has("ufw"):
            found.append(self.plan_ufw)
        return found

    def carry_out(self, plan: Plan) -> None:
        """Do what a plan says. Raises FirewallError or OSError."""
        for path, file in plan.files.items():
            if file:
                write_entry(path, file)
            elif os.path.lexists(path):
                remove_entry(path)
        for command in plan.commands:
            self.run(*command.words, data=command.data)


def make_plans(host: Host, listens: Sequence[str], *, absent: bool, prune: bool) -> list[Plan]:
    """Return what has to be done to the host's firewalls. Raises FirewallError or ValueError."""
    if absent:
        return [plan([]) for plan in host.plans()]
    if host.firewall == "none":
        return []
    make = getattr(host, f"plan_{host.firewall}")
    plan: Plan = make(openings(listens))
    if plan.closed and not prune:
        plan = make(openings([*listens, *plan.closed]))
    return [plan]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "listens": {"type": "list", "elements": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "prune": {"type": "bool", "default": True},
        },
        required_if=[("state", "present", ["listens"])],
        supports_check_mode=True,
    )
    params = module.params
    # ufw speaks the language of whoever asks.
    module.run_command_environ_update = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
    try:
        with nullcontext() if module.check_mode else locked(UNITS):
            host = Host(module)
            absent = params["state"] == "absent"
            plans = make_plans(host, params["listens"] or [], absent=absent, prune=params["prune"])
            for plan in plans:
                for warning in plan.warnings:
                    module.warn(warning)
                if not module.check_mode:
                    host.carry_out(plan)
    except (OSError, ValueError, FirewallError) as error:
        module.fail_json(msg=str(error))
        return
    module.exit_json(
        changed=any(plan.changed for plan in plans),
        firewall=host.firewall,
        opened=sorted({listen for plan in plans for listen in plan.opened}),
        closed=sorted({listen for plan in plans for listen in plan.closed}),
        diff=[
            {"before_header": place, "after_header": place, "before": before, "after": after}
            for plan in plans
            for place, before, after in plan.diffs
        ],
    )


if __name__ == "__main__":
    main()
