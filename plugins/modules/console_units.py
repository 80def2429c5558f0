#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Make a hypervisor's consoles equal a list, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: console_units
short_description: Make a hypervisor's direct consoles equal a list
version_added: 0.1.0
description:
  - Writes each console's listener, environment and links, removes consoles that are no longer
    listed, and starts and restarts what has to be, in one call for the whole host.
  - Two runs at once wait for each other; each file is replaced at once, or not at all.
  - Consoles whose listener, target, origins or TLS changed are stopped before their files
    change and started after, so that a run which dies in between is made good by the next. All
    others, and those who look at them, are left alone.
options:
  consoles:
    description:
      - The host's plan, as P(novnc.fleet.consoles#filter) returns it.
      - Required unless O(state=absent).
    type: list
    elements: dict
  state:
    description: V(absent) removes every console and everything else that this module has made.
    type: str
    choices: [present, absent]
    default: present
  direct:
    description:
      - Whether the consoles have units. Without it only the list of them is kept, and all units
        that this module has made are removed. O(prune) and O(prune_limit) have no say in it, as
        they are for lists that were cut short by mistake.
    type: bool
    default: true
  tls:
    description: Whether the consoles speak TLS.
    type: bool
    default: false
  prune:
    description: Whether consoles that are not listed are removed, if this module made them.
    type: bool
    default: true
  prune_limit:
    description:
      - Per cent of the host's consoles that one run may remove. More are refused, before anything
        is changed, unless it is no more than five.
    type: int
    default: 20
  end_outdated:
    description:
      - The version that consoles are started with now (C(NOVNC_CONSOLE_VERSION) of the unit).
        Consoles in use that were started with another are ended, and their next visitor has it.
      - Empty leaves them alone.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Tells what a real run would do and does nothing.
  diff_mode:
    support: full
    description: Shows each file's old and new content.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Make the consoles equal the plan
  novnc.fleet.console_units:
    consoles: "{{ plan.consoles }}"
"""

RETURN = r"""
added:
  description: VMs that got a console.
  type: list
  elements: str
  returned: always
removed:
  description: VMs whose console was removed.
  type: list
  elements: str
  returned: always
restarted:
  description:
    - VMs whose console was stopped and started, as its listener or settings changed, or as its
      port was not open although systemd took it to be.
  type: list
  elements: str
  returned: always
started:
  description: VMs whose listener was not open and is now.
  type: list
  elements: str
  returned: always
stopped:
  description: Units of consoles that ran on although their files were gone.
  type: list
  elements: str
  returned: always
ended:
  description: VMs whose console was in use with another version, and was ended for it.
  type: list
  elements: str
  returned: always
"""

import glob
import os
import signal
from contextlib import nullcontext
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.files import (
    clear_workplaces,
    read_entry,
    remove_entry,
    write_entry,
)
from ansible_collections.novnc.fleet.plugins.module_utils.lock import locked
from ansible_collections.novnc.fleet.plugins.module_utils.systemd import Systemd, SystemdError
from ansible_collections.novnc.fleet.plugins.module_utils.units import (
    CONSOLES_JSON,
    OWNED_GLOBS,
    TARGET,
    TARGET_LINK,
    UNITS,
    Difference,
    File,
    Link,
    compare,
    host_entries,
    owner,
    prune_refusal,
    service_unit,
    socket_unit,
    units_of,
)

VERSION = "NOVNC_CONSOLE_VERSION"
"""The variable by which a console's process tells what it was started with."""

UNDER_TEST = "/run/novnc-fleet-under-test"
"""Where this file stands, NOVNC_FLEET_FAIL_AFTER names the step after which the run dies."""


def read_present() -> dict[str, File | Link]:
    """Return everything on the host that is a console's, by path."""
    paths = [path for pattern in OWNED_GLOBS for path in glob.glob(pattern)]
    found = {path: read_entry(path) for path in [*sorted(paths), TARGET_LINK, CONSOLES_JSON]}
    return {path: entry for path, entry in found.items() if entry is not None}


def step_done(step: str) -> None:
    """Die here, as if killed, if a test wants to see what becomes of it."""
    if os.environ.get("NOVNC_FLEET_FAIL_AFTER") == step and os.path.exists(UNDER_TEST):
        os.kill(os.getpid(), signal.SIGKILL)


def outdated(processes: dict[str, int], version: str) -> set[str]:
    """Return the units whose process was started with another version; none if that is empty."""
    found = set()
    for unit, process in processes.items() if version else ():
        try:
            with open(f"/proc/{process}/environ", encoding="utf-8", errors="replace") as file:
                if f"{VERSION}={version}" not in file.read().split("\0"):
                    found.add(unit)
        except OSError:
            continue  # it has ended meanwhile
    return found


class Run:
    """One run: what differs, and the steps that make it equal.

    The order makes it safe to die between any two steps: consoles are stopped
    before their files change, so what the next run finds changed is stopped,
    and what it finds stopped is started.
    """

    def __init__(self, params: dict[str, Any], systemd: Systemd) -> None:
        self.systemd = systemd
        absent = params["state"] == "absent"
        direct = params["direct"] and not absent
        consoles: list[dict[str, Any]] = params["consoles"] if direct else []
        self.vms = [console["vm"] for console in consoles]
        self.wanted_units = [TARGET, *map(socket_unit, self.vms)] if direct else []
        self.present = read_present()
        listed = {"tls": params["tls"], "direct": direct}
        wanted = {} if absent else host_entries(params["consoles"], **listed)
        if not params["prune"] and direct:
            kept = {path: entry for path, entry in self.present.items() if owner(path)}
            wanted = {**kept, **wanted}
        self.difference = compare(self.present, wanted)
        limit = params["prune_limit"] if direct else 100
        self.refusal = prune_refusal(self.present, self.difference, limit)
        units = systemd.units()
        # Consoles that run although their files are gone; whoever removed those by hand.
        self.stray = units.active - units_of(self.vms) - set(self.wanted_units)
        self.stray &= units.ours if params["prune"] or not direct else set()
        self.inactive = [vm for vm in self.vms if socket_unit(vm) not in units.active]
        listening = systemd.listeners()
        # Whatever systemd says: what counts is that the port is open.
        self.deaf = [
            console["vm"]
            for console in consoles
            if socket_unit(console["vm"]) in units.active and console["listen"] not in listening
        ]
        self.stale = units.stale
        self.outdated = outdated(units.processes, params["end_outdated"])

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        units = self.inactive or self.deaf or self.stray or self.outdated
        return bool(self.difference or units or self.stale)

    def apply(self) -> None:
        """Make the host equal the list. Raises OSError or SystemdError."""
        difference, systemd = self.difference, self.systemd
        clear_workplaces(OWNED_GLOBS)
        # First of all: a unit that systemd remembers as broken can not even be stopped.
        if self.stale:
            systemd.call("daemon-reload")
        step_done("reload")
        touched = units_of(
            [*difference.added, *difference.restarted, *difference.removed, *self.deaf]
        )
        systemd.stop(systemd.units().active & (touched | self.stray | self.outdated))
        step_done("stop")
        for path in difference.remove:
            remove_entry(path)
        step_done("remove")
        for path, entry in difference.write.items():
            write_entry(path, entry)
            step_done("first-write")
        step_done("write")
        if difference:
            systemd.call("daemon-reload")
        step_done("daemon-reload")
        active = systemd.units().active
        systemd.start([unit for unit in self.wanted_units if unit not in active])
        step_done("start")


def perform(module: AnsibleModule) -> Run:
    """Find out what differs and, unless in check mode, mend it."""
    with nullcontext() if module.check_mode else locked(UNITS):
        run = Run(module.params, Systemd(module.run_command))
        if run.refusal:
            module.fail_json(msg=run.refusal)
        if run.changed and not module.check_mode:
            try:
                run.apply()
            except (OSError, SystemdError) as error:
                vms = [*run.difference.restarted, *run.difference.added]
                words = f"\nuntil the next run these may be down: {', '.join(vms)}" if vms else ""
                raise SystemdError(f"{error}{words}") from error
    return run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "consoles": {"type": "list", "elements": "dict"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "direct": {"type": "bool", "default": True},
            "tls": {"type": "bool", "default": False},
            "prune": {"type": "bool", "default": True},
            "prune_limit": {"type": "int", "default": 20},
            "end_outdated": {"type": "str", "default": ""},
        },
        required_if=[("state", "present", ["consoles"])],
        supports_check_mode=True,
    )
    try:
        run = perform(module)
    except (OSError, SystemdError) as error:
        module.fail_json(msg=str(error))
        return
    difference = run.difference
    touched = {*difference.added, *difference.restarted}
    module.exit_json(
        changed=run.changed,
        added=difference.added,
        removed=difference.removed,
        restarted=sorted({*difference.restarted, *run.deaf} - {*difference.added}),
        started=[vm for vm in run.inactive if vm not in touched],
        stopped=sorted(run.stray),
        ended=[vm for vm in run.vms if service_unit(vm) in run.outdated],
        diff=diffs(run.present, difference),
    )


def diffs(present: dict[str, File | Link], difference: Difference) -> list[dict[str, str]]:
    """Return the change of each file in the form that ``--diff`` prints."""

    def shown(path: str, entry: File | Link | None) -> tuple[str, str]:
        if isinstance(entry, Link):
            return path, f"-> {entry.to}\n"
        return (f"{path} (mode {entry.mode:04o})", entry.content) if entry else (path, "")

    found = []
    after = {**dict.fromkeys(difference.remove), **difference.write}
    for path in sorted(after):
        old, new = shown(path, present.get(path)), shown(path, after[path])
        headers = {"before_header": old[0], "after_header": new[0]}
        found.append({**headers, "before": old[1], "after": new[1]})
    return found


if __name__ == "__main__":
    main()
