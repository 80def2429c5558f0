"""Write the documentation that is made from code: role READMEs and ``docs/variables.md``.

Usage: ``python -m tests.harness.docs``. A unit test sees that it has been run.
Roles' variables come from their ``argument_specs``, the keys of a VM from the
planner's own table, and playbooks' own variables from the comments they begin with.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.harness.project import ROOT

sys.path.insert(0, str(ROOT / "playbooks" / "collections"))

from ansible_collections.novnc.fleet.plugins.module_utils.entry import KEYS

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())

OWN_ROLES = ["novnc_console", "novnc_endpoint", "novnc_gateway", "novnc", "websockify"]
"""Those whose variables people set, in the order in which they are read."""

MARKUP = [
    (r"[MP]\(([^)#]+)(#\w+)?\)", r"`\1`"),  # a module or a plugin
    (r"[OVC]\(([^)]+)\)", r"`\1`"),  # an option, a value, code
]
"""Ansible's own mark-up, as Markdown has it."""


VARIABLES_BEGIN = """\
# Variables

<!-- Made from meta/argument_specs.yml of the roles and the playbooks' comments by `make docs`. -->

Set for a host or a group; those of playbooks by `-e` as well. A key of a VM, a user or a rule that
nobody knows is refused. A variable that nobody knows is not noticed: Ansible has no list of them.

## Keys of a VM

A VM in `novnc_vms` is a port on 127.0.0.1, a target in quotes (`"host:port"`, `"[v6]:port"`,
`"unix:/path"`), or keys:
"""
"""How the page of every variable begins."""


def markdown(text: str) -> str:
    """Return a description of an argument specification as Markdown, on one line."""
    for pattern, replacement in MARKUP:
        text = re.sub(pattern, replacement, text)
    return " ".join(text.split()).replace("|", "\\|")


def sentences(value: str | list[str]) -> str:
    """Return a description, which may be one text or several, as one."""
    return " ".join(markdown(text) for text in ([value] if isinstance(value, str) else value))


def keys_table() -> str:
    """Return the table of what may be written under a VM."""
    rows = [f"| `{name}` | {key.meaning} | {key.default} |" for name, key in KEYS.items()]
    return "\n".join(["| key | meaning | default |", "|---|---|---|", *rows])


def specification(role: str) -> dict[str, Any]:
    """Return the specification of a role's main entry point."""
    path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    found: dict[str, Any] = yaml.safe_load(path.read_text())["argument_specs"]["main"]
    return found


def shown_default(option: dict[str, Any]) -> str:
    """Return an option's default as it would be written; nothing for an empty one."""
    default = option.get("default", "")
    shown = str(default).lower() if isinstance(default, bool) else str(default)
    return "" if default in ("", []) else f"`{shown}`".replace("|", "\\|")


def variables_table(options: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table of a role's variables, line by line."""
    lines = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in options.items():
        cells = [f"`{name}`", option["type"], shown_default(option)]
        lines.append(f"| {' | '.join([*cells, sentences(option['description'])])} |")
        for key, inner in option.get("options", {}).items():
            cells = [f"`{name}.{key}`", inner["type"], shown_default(inner)]
            lines.append(f"| {' | '.join([*cells, sentences(inner['description'])])} |")
    return [*lines, ""]


def role_readme(role: str) -> str:
    """Return the README of a role."""
    spec = specification(role)
    lines = [
        f"# Role novnc.fleet.{role}",
        "",
        "<!-- Made from meta/argument_specs.yml by `make docs`. -->",
        "",
        f"{spec['short_description']}.",
        "",
        sentences(spec["description"]),
        "",
    ]
    options = spec["options"]
    if options:
        lines += ["## Variables", "", *variables_table(options)]
    if "novnc_vms" in options:
        lines += ["## Keys of a VM in novnc_vms", "", keys_table(), ""]
    return "\n".join(lines)


def playbook_variables(path: Path) -> dict[str, str]:
    """Return the variables that a playbook's first comment names, each with its meaning.

    A line of it is ``# name   meaning``, with more of the meaning in lines further in.
    """
    found: dict[str, str] = {}
    name = ""
    for line in path.read_text().split("\n- ", 1)[0].splitlines():
        if begin := re.match(r"# (\w+(?:, _\w+)*) {2,}(.+)", line):
            name, found[begin[1]] = begin[1], begin[2]
        elif name and (more := re.match(r"# {3,}(.+)", line)):
            found[name] += f" {more[1]}"
        else:
            name = ""
    return found


def playbooks() -> dict[str, dict[str, str]]:
    """Return the variables of those playbooks that have some of their own."""
    paths = sorted((ROOT / "playbooks").glob("*.yml"))
    return {path.name: found for path in paths if (found := playbook_variables(path))}


def all_variables() -> str:
    """Return the page of every variable."""
    lines = [VARIABLES_BEGIN, keys_table(), ""]
    for role in OWN_ROLES:
        spec = specification(role)
        link = f"[{role}](../roles/{role}/README.md)"
        lines += [f"## Role {role}", "", f"{spec['short_description']}: {link}.", ""]
        lines += variables_table(spec["options"])
    for playbook, found in playbooks().items():
        lines += [f"## Playbook {playbook}", "", "| variable | meaning |", "|---|---|"]
        for names, meaning in found.items():
            first, *more = names.split(", ")
            shown = ", ".join(f"`{name}`" for name in (first, *more))
            lines.append(f"| {shown} | {markdown(meaning)} |")
        lines.append("")
    return "\n".join(lines)


def documents() -> dict[Path, str]:
    """Return every document that is made, by its path."""
    made = {ROOT / "roles" / role / "README.md": role_readme(role) for role in ROLES}
    return {**made, ROOT / "docs" / "variables.md": all_variables()}


if __name__ == "__main__":
    for path, content in documents().items():
        path.write_text(content)
