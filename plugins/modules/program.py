#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Install a version of noVNC or websockify beside others, and switch to it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: program
short_description: Install a version of noVNC or websockify beside others, and switch to it
version_added: 0.1.0
description:
  - Keeps versions side by side below C(/opt/novnc) or C(/opt/websockify), each whole or not there
    at all, and a link C(current) to the one in force, which is switched at once.
  - The release is fetched once, on the controller, checked, cached and pushed; hosts need no way
    out. A version that is there as it was installed costs no transfer.
options:
  name:
    description: The program.
    type: str
    choices: [novnc, websockify]
    required: true
  state:
    description:
      - V(present) puts the version beside the others and switches nothing.
      - V(current) switches to a version that is there, and removes old ones.
      - V(absent) removes all versions, except what somebody else has put there.
    type: str
    choices: [present, current, absent]
    default: present
  version:
    description: The version; required unless O(state=absent).
    type: str
  checksum:
    description: The release's checksum, C(sha256:) and 64 hexadecimal digits.
    type: str
  url:
    description:
      - Where the controller gets the release, C(https://), C(http://) or C(file://).
      - Empty means the wheel of that name and version, by O(pip).
    type: str
    default: ""
  pip:
    description: The controller's pip with its first arguments.
    type: list
    elements: str
    default: []
  cache:
    description: Directory on the controller in which releases are kept.
    type: path
  python:
    description: The host's interpreter, with which what is Python must be importable.
    type: path
    default: /usr/bin/python3
  keep:
    description:
      - Old versions that are kept, the one that was in force last before all others. A noVNC that
        a running console still serves is never removed.
    type: int
    default: 1
  archive:
    description: The release on the host. Set by the action plugin, which has put it there.
    type: path
attributes:
  check_mode:
    support: full
    description: Tells what a real run would do. The release is fetched, to the controller's cache.
  diff_mode:
    support: full
    description: Shows versions and the switch.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Put noVNC 1.7.0 beside what is there
  novnc.fleet.program:
    name: novnc
    version: 1.7.0
    url: file:///srv/mirror/noVNC-1.7.0.tar.gz
    checksum: sha256:b1003a11b6e6e8d8f7f5e5586daae7f8ca651d8aee0aa155ff9ac841c48f52c6

- name: Switch to it
  novnc.fleet.program:
    name: novnc
    version: 1.7.0
    state: current
"""

RETURN = r"""
installed:
  description: Whether the version was there already, as it was installed.
  type: bool
  returned: always
current:
  description: The version in force before this run; empty without one.
  type: str
  returned: always
path:
  description: Where the version is.
  type: str
  returned: unless O(state=absent)
removed:
  description: Versions that were removed.
  type: list
  elements: str
  returned: always
surplus:
  description: Old versions beyond O(keep) that nothing uses, which V(current) would remove.
  type: list
  elements: str
  returned: always
"""

import os
from contextlib import nullcontext

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.archive import ArchiveError, read_archive
from ansible_collections.novnc.fleet.plugins.module_utils.lock import locked
from ansible_collections.novnc.fleet.plugins.module_utils.programs import (
    PROGRAMS,
    VERSION,
    Program,
    ReleaseError,
    release_files,
)
from ansible_collections.novnc.fleet.plugins.module_utils.trees import TreeError, Trees

SELINUX = "/sys/fs/selinux/enforce"


class Run:
    """One run on one program: what is there, and the steps to what should be."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.version: str = module.params["version"] or ""
        self.program: Program = PROGRAMS[module.params["name"]]
        self.trees = Trees(self.program.root)
        self.path = self.trees.path(self.version)
        self.before = sorted(self.trees.versions())
        self.current = self.trees.current()
        self.surplus = self.trees.surplus(module.params["keep"], self.version)
        self.removed: list[str] = []
        checksum = module.params["checksum"]
        if checksum:
            self.installed = self.trees.is_whole(self.version, checksum)
        else:
            self.installed = self.version in self.before

    def present(self) -> tuple[list[str], str]:
        """Install the version; return the versions and the one in force after it."""
        archive = self.module.params["archive"]
        if not self.installed and archive and not self.module.check_mode:
            self._compare(archive)
            files = release_files(self.program, read_archive(archive), self.version)
            self.trees.install(self.version, files, self.module.params["checksum"], self._try)
            # SELinux's labels for the place, where it is in use.
            if os.path.exists(SELINUX):
                self.module.run_command(["restorecon", "-R", self.program.root], check_rc=True)
        return sorted({*self.before, self.version}), self.current

    def _compare(self, archive: str) -> None:
        """See that what has come is what was sent. Raises ReleaseError."""
        found = "sha256:" + self.module.sha256(archive)
        if found != self.module.params["checksum"]:
            raise ReleaseError(f"what has come to the host has {found}; nothing was installed")

    def _try(self, tree: str) -> None:
        """See that a Python program can be imported, and compile it. Raises ReleaseError."""
        if not self.program.imports:
            return
        imports = ", ".join(self.program.imports)
        code = f"import sys; sys.path.insert(0, sys.argv[1]); import {imports}"
        self._python("cannot be imported", "-B", "-c", code, tree)
        # Consoles may not write there: without this, each start would compile it anew.
        compileall = ["compileall", "-q", "-s", tree, "-p", self.path, tree]
        self._python("cannot be compiled", "-m", *compileall)

    def _python(self, what: str, *words: str) -> None:
        python = self.module.params["python"]
        status, out, error = self.module.run_command([python, "-I", *words])
        if status != 0:
            last = (error or out).strip().rpartition("\n")[2]
            raise ReleaseError(f"{self.program.title} {self.version} {what} by {python}: {last}")

    def switch(self) -> tuple[list[str], str]:
        """Put the version in force and remove old ones; return what is there after it."""
        if not self.installed and not self.module.check_mode:
            raise TreeError(f"{self.path} is not there; install it first")
        self.removed = self.surplus
        if not self.module.check_mode:
            if self.current != self.version:
                self.trees.switch(self.version)
            for version in self.removed:
                self.trees.remove(version)
        return [one for one in self.before if one not in self.removed], self.version

    def absent(self) -> tuple[list[str], str]:
        """Remove every version of ours; return what is there after it."""
        self.removed = self.before
        if not self.module.check_mode:
            self.trees.remove_all()
        return [], ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "choices": ["novnc", "websockify"], "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "current", "absent"],
                "default": "present",
            },
            "version": {"type": "str"},
            "checksum": {"type": "str"},
            "url": {"type": "str", "default": ""},
            "pip": {"type": "list", "elements": "str", "default": []},
            "cache": {"type": "path"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "keep": {"type": "int", "default": 1},
            "archive": {"type": "path"},
        },
        required_if=[
            ("state", "present", ["version", "checksum"]),
            ("state", "current", ["version"]),
        ],
        supports_check_mode=True,
    )
    version, state = module.params["version"], module.params["state"]
    if module.params["keep"] < 0:
        module.fail_json(
            msg=f"keep {module.params['keep']} is no number of versions; write 0 or more"
        )
    if version and not VERSION.match(version):
        module.fail_json(msg=f"version {version!r} cannot name a directory; write it like 1.7.0")
    lock = os.path.dirname(PROGRAMS[module.params["name"]].root)
    try:
        with nullcontext() if module.check_mode else locked(lock):
            run = Run(module)
            step = {"present": run.present, "current": run.switch, "absent": run.absent}[state]
            after = step()
    except ArchiveError as error:
        module.fail_json(msg=f"the release of {module.params['name']} is refused: {error}")
    except (ReleaseError, TreeError, TimeoutError, OSError) as error:
        module.fail_json(msg=str(error))
    else:
        missing = state == "present" and not run.installed
        module.exit_json(
            changed=missing or (run.before, run.current) != after,
            installed=run.installed,
            current=run.current,
            path=run.path,
            removed=run.removed,
            surplus=run.surplus,
            diff={"before": shown(run.before, run.current), "after": shown(*after)},
        )


def shown(versions: list[str], current: str) -> str:
    """Return versions as lines, the one in force marked."""
    return "".join(
        f"{version}{' (current)' if version == current else ''}\n" for version in versions
    )


if __name__ == "__main__":
    main()
