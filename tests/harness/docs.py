"""Write the documentation that is made from code: role READMEs and the table of VM keys.

Usage: ``python -m tests.harness.docs``. A unit test sees that it has been run.
Roles' variables come from their ``argument_specs``, the keys of a VM from the
planner's own table.
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

MARKUP = [
    (r"[MP]\(([^)#]+)(#\w+)?\)", r"`\1`"),  # a module or a plugin
    (r"[OVC]\(([^)]+)\)", r"`\1`"),  # an option, a value, code
]
"""Ansible's own mark-up, as Markdown has it."""


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
    return (
        "" if default in ("", []) else f"`{str(default).lower() if default is True else default}`"
    )


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
        lines += [
            "## Variables",
            "",
            "| variable | type | default | meaning |",
            "|---|---|---|---|",
        ]
        for name, option in options.items():
            cells = [f"`{name}`", option["type"], shown_default(option)]
            lines.append(f"| {' | '.join([*cells, sentences(option['description'])])} |")
        lines.append("")
    if "novnc_vms" in options:
        lines += ["## Keys of a VM in novnc_vms", "", keys_table(), ""]
    return "\n".join(lines)


def with_keys(text: str) -> str:
    """Return the project's README with the table of keys between its two markers."""
    pattern = re.compile(r"(<!-- keys: made by `make docs` -->\n).*?(<!-- /keys -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}{keys_table()}\n{found[2]}", text)


def documents() -> dict[Path, str]:
    """Return every document that is made, by its path."""
    readme = ROOT / "README.md"
    made = {ROOT / "roles" / role / "README.md": role_readme(role) for role in ROLES}
    return {**made, readme: with_keys(readme.read_text())}


if __name__ == "__main__":
    for path, content in documents().items():
        path.write_text(content)
