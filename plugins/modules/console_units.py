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
  - Consoles whose listener, target, origins or TLS changed are stopped before their files
    change and started after, so that a run which dies in between is made good by the next. All
    others, and those who look at them, are left alone.
options:
  consoles:
    description: The host's plan, as P(novnc.fleet.consoles#filter) returns it.
    type: list
    elements: dict
    required: true
  tls:
    description: Whether the consoles speak TLS.
    type: bool
    default: false
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
  description: VMs whose console was stopped and started, as its listener or settings changed.
  type: list
  elements: str
  returned: always
started:
  description: VMs whose listener was not open and is now.
  type: list
  elements: str
  returned: always
"""

import glob
import os
import stat
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.units import (
    CONSOLES_JSON,
    OWNED_GLOBS,
    TARGET,
    TARGET_LINK,
    Difference,
    File,
    Link,
    compare,
    host_entries,
    service_unit,
    socket_unit,
)

STOP_TIMEOUT = 90
"""Seconds in which stopped consoles must have let go of their ports (systemd's own default)."""


def read_entry(path: str) -> File | Link | None:
    """Return what stands at a path, or None if nothing does."""
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            return Link(os.readlink(path))
        # A file of another owner is never equal to what is wanted, so it is written anew.
        mode = stat.S_IMODE(info.st_mode) if info.st_uid == info.st_gid == 0 else 0o7777
        with open(path, encoding="utf-8", errors="replace") as file:
            return File(file.read(), mode)
    except FileNotFoundError:
        return None


def read_present() -> dict[str, File | Link]:
    """Return everything on the host that is a console's, by path."""
    paths = [path for pattern in OWNED_GLOBS for path in glob.glob(pattern)]
    found = {path: read_entry(path) for path in [*sorted(paths), TARGET_LINK, CONSOLES_JSON]}
    return {path: entry for path, entry in found.items() if entry is not None}


def write_entry(path: str, entry: File | Link) -> None:
    """Put a file or link in its place at once: nobody ever sees half of it."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    if isinstance(entry, Link):
        temporary = tempfile.mktemp(dir=directory, prefix=".novnc-")  # noqa: S306 (a link, not a file)
        os.symlink(entry.to, temporary)
    else:
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".novnc-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(entry.content)
            file.flush()
            os.fchmod(file.fileno(), entry.mode)
            os.fsync(file.fileno())
    os.replace(temporary, path)


def remove_entry(path: str) -> None:
    """Remove a file or link, and its drop-in directory once that is empty."""
    os.unlink(path)
    directory = os.path.dirname(path)
    if directory.endswith(".d") and not os.listdir(directory):
        os.rmdir(directory)


class Systemd:
    """The few systemctl calls that the module makes; their number does not grow with the VMs."""

    def __init__(self, module: AnsibleModule):
        self._module = module

    def call(self, *words: str) -> str:
        """Run systemctl; end the module with its message if it fails."""
        status, out, error = self._module.run_command(["systemctl", *words])
        if status != 0:
            self._module.fail_json(msg=f"systemctl {words[0]} failed: {(error or out).strip()}")
        return str(out)

    def states(self) -> dict[str, dict[str, str]]:
        """Return ActiveState and NeedDaemonReload of every console's unit that is loaded."""
        out = self.call(
            "show",
            "--property=Id,ActiveState,NeedDaemonReload",
            "novnc-console@*.socket",
            "novnc-console@*.service",
        )
        blocks = (block.splitlines() for block in out.split("\n\n") if block.strip())
        units = [dict(line.split("=", 1) for line in block) for block in blocks]
        return {unit["Id"]: unit for unit in units}

    def active(self) -> set[str]:
        """Return the console units that are not at rest."""
        states = self.states().items()
        return {name for name, unit in states if unit["ActiveState"] not in ("inactive", "failed")}

    def stop(self, vms: list[str]) -> None:
        """Stop consoles and wait until their ports are closed and their viewers gone.

        Without ``--no-block`` stopping many units takes time quadratic in their number.
        """
        if not vms:
            return
        units = [unit for vm in vms for unit in (socket_unit(vm), service_unit(vm))]
        self.call("stop", "--no-block", *units)
        deadline = time.monotonic() + STOP_TIMEOUT
        while left := self.active().intersection(units):
            if time.monotonic() > deadline:
                self._module.fail_json(msg=f"still running after {STOP_TIMEOUT} s: {sorted(left)}")
            time.sleep(0.1)


def apply(module: AnsibleModule, difference: Difference, vms: list[str]) -> list[str]:
    """Make the host equal the plan; return the VMs whose listener was not open."""
    systemd = Systemd(module)
    systemd.stop(difference.restarted + difference.removed)
    try:
        for path in difference.remove:
            remove_entry(path)
        for path, entry in difference.write.items():
            write_entry(path, entry)
    except OSError as error:
        module.fail_json(
            msg=f"{error.filename}: {error.strerror}; the consoles {difference.restarted} are"
            " stopped; mend it and run again"
        )
    stale = any(unit["NeedDaemonReload"] == "yes" for unit in systemd.states().values())
    if difference or stale:
        systemd.call("daemon-reload")
    active = systemd.active()
    missing = [vm for vm in vms if socket_unit(vm) not in active]
    if missing:
        systemd.call("start", TARGET, *map(socket_unit, missing))
    return missing


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "consoles": {"type": "list", "elements": "dict", "required": True},
            "tls": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    consoles: list[dict[str, Any]] = module.params["consoles"]
    vms = [console["vm"] for console in consoles]
    present = read_present()
    difference = compare(present, host_entries(consoles, tls=module.params["tls"]))
    if module.check_mode:
        active = Systemd(module).active()
        inactive = [vm for vm in vms if socket_unit(vm) not in active]
    else:
        inactive = apply(module, difference, vms)
    changed_by_us = set(difference.added + difference.restarted)
    module.exit_json(
        changed=bool(difference or inactive),
        added=difference.added,
        removed=difference.removed,
        restarted=difference.restarted,
        started=[vm for vm in inactive if vm not in changed_by_us],
        diff=diffs(present, difference),
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
