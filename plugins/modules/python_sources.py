#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Put packages of Python sources on a host, with the module_utils that they import."""

from __future__ import annotations

DOCUMENTATION = r"""
module: python_sources
short_description: Put packages of Python sources on a host
version_added: 0.1.0
description:
  - Makes a directory on the host hold the given packages and those of this collection's
    C(module_utils) that they import, so that a service runs what modules run.
  - Files of these packages that are no longer among them are removed; nothing else is touched.
options:
  packages:
    description: Directories on the controller, each a package, with pages, styles and scripts.
    type: list
    elements: path
    required: true
  dest:
    description: Directory on the host that is to be on C(sys.path).
    type: path
    required: true
  sources:
    description: Set by the action plugin, the sources by their path below O(dest).
    type: dict
attributes:
  check_mode:
    support: full
    description: Tells what a real run would do and does nothing.
  diff_mode:
    support: none
    description: Tells only which files change.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Install the endpoint
  novnc.fleet.python_sources:
    packages: ["{{ role_path }}/files/novnc_endpoint"]
    dest: /usr/local/lib/novnc-fleet
"""

RETURN = r"""
files:
  description: The files that were written or removed, or would be.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.files import (
    read_entry,
    remove_entry,
    write_entry,
)
from ansible_collections.novnc.fleet.plugins.module_utils.units import File


def present_sources(dest: str, roots: set[str]) -> set[str]:
    """Return the paths of all files but Python's caches below some directories of ``dest``."""
    return {
        os.path.relpath(os.path.join(directory, name), dest)
        for root in roots
        for directory, _, names in os.walk(os.path.join(dest, root))
        for name in names
        if not name.endswith(".pyc")
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "path", "required": True},
            "dest": {"type": "path", "required": True},
            # Whole programs are nothing for the host's journal.
            "sources": {"type": "dict", "no_log": True},
        },
        supports_check_mode=True,
    )
    dest = module.params["dest"]
    wanted = {path: File(text, 0o644) for path, text in (module.params["sources"] or {}).items()}
    roots = {path.partition("/")[0] for path in wanted}
    written = [
        path for path, file in wanted.items() if read_entry(os.path.join(dest, path)) != file
    ]
    removed = sorted(present_sources(dest, roots) - set(wanted))
    if not module.check_mode:
        os.umask(0o022)  # services of other users read them
        for path in written:
            write_entry(os.path.join(dest, path), wanted[path])
        for path in removed:
            remove_entry(os.path.join(dest, path))
    files = sorted(written) + removed
    module.exit_json(changed=bool(files), files=files)


if __name__ == "__main__":
    main()
