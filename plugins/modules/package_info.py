#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Ask the distribution for a package: its version, and where its files are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_info
short_description: Ask the distribution for a package and where its files are
version_added: 0.1.0
description:
  - Tells which version of a package is installed, or could be, and in which directories certain
    of its files are. Asks dpkg and apt, or rpm and dnf; changes nothing.
options:
  name:
    description: The package.
    type: str
    required: true
  holding:
    description:
      - Paths as the package's files end, by a name of one's own. The directory above each is
        returned by that name.
    type: dict
    default: {}
  candidate:
    description:
      - Whether to ask which version could be installed, where none is. It takes most of a second,
        as the distribution's lists are read anew.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Changes nothing in either mode.
  diff_mode:
    support: none
    description: There is no difference to show.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Where is noVNC, and which one?
  novnc.fleet.package_info:
    name: novnc
    holding: {root: vnc.html}
"""

RETURN = r"""
installed:
  description: The version that is installed, as its makers number it; empty if none is.
  type: str
  returned: always
candidate:
  description:
    - The version that would be installed, where none is; empty if the distribution has none, if
      one is installed, or if it is not asked for.
  type: str
  returned: always
directories:
  description: The directory above each file that was asked for; without those that were not found.
  type: dict
  returned: always
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule


def upstream(version: str) -> str:
    """Return the makers' version: C(1:1.6.0+dfsg-2) is upstream's 1.6.0."""
    return re.split(r"[-+~]", version.rpartition(":")[2].strip())[0]


def debian(call: Any, name: str) -> str:
    """Return the version that dpkg has."""
    show = call("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Version}", name)
    status, _, version = show.partition(" ")
    return upstream(version.strip()) if status[1:2] == "i" else ""


def debian_candidate(call: Any, name: str) -> str:
    """Return the version that apt would install."""
    # Left to itself, apt-cache writes what it has computed.
    unkept = ["--option", "Dir::Cache::pkgcache=", "--option", "Dir::Cache::srcpkgcache="]
    policy = re.search(r"Candidate: (\S+)", call("apt-cache", *unkept, "policy", name))
    return "" if policy is None or policy[1] == "(none)" else upstream(policy[1])


def red_hat(call: Any, name: str) -> str:
    """Return the version that rpm has."""
    return str(call("rpm", "--query", "--queryformat", "%{VERSION}", name).strip())


def red_hat_candidate(call: Any, name: str) -> str:
    """Return the version that dnf would install."""
    words = ["repoquery", "--quiet", "--latest-limit=1", "--queryformat", "%{version}\\n", name]
    found = call("dnf", *words).split()
    return found[-1] if found else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "holding": {"type": "dict", "default": {}},
            "candidate": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )

    # apt and dnf speak the language of whoever asks.
    module.run_command_environ_update = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}

    def call(*command: str) -> str:
        status, out, _ = module.run_command(list(command))
        return out if status == 0 else ""

    if module.get_bin_path("dpkg-query"):
        ask, ask_candidate, listing = debian, debian_candidate, ["dpkg-query", "--listfiles"]
    elif module.get_bin_path("rpm") and module.get_bin_path("dnf"):
        ask, ask_candidate, listing = red_hat, red_hat_candidate, ["rpm", "--query", "--list"]
    else:
        module.fail_json(msg="there is neither dpkg nor rpm with dnf, so no package of theirs")
        return
    name, holding = module.params["name"], module.params["holding"]
    installed = ask(call, name)
    wanted = module.params["candidate"] and not installed
    candidate = ask_candidate(call, name) if wanted else ""
    files = call(*listing, name).splitlines() if installed and holding else []
    directories = {
        key: path[: -len(end) - 1]
        for key, end in holding.items()
        for path in files
        if path.endswith(f"/{end}")
    }
    module.exit_json(
        changed=False, installed=installed, candidate=candidate, directories=directories
    )


if __name__ == "__main__":
    main()
