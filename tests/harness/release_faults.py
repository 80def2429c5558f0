"""What keeps a release from being one: each fault a sentence. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

CONTENT = {
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "FILES.json", "MANIFEST.json"),
    *("docs", "inventory", "meta", "playbooks", "plugins", "roles"),
}
"""What stands in a collection, at its top."""

MADE = {"FILES.json", "MANIFEST.json"}
"""What the build writes itself."""

FOREIGN = {
    "tests",
    "molecule",
    "collections",
    "demo",
    "pki",
    "__pycache__",
    "group_vars",
    "host_vars",
}
"""Directories that have no place anywhere in it."""

SECRET = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}"
    rb"|\$ANSIBLE_VAULT;"
    rb"|scrypt\$\d+\$\d+\$\d+\$[A-Za-z0-9+/=_-]{16}"
)
"""A key, a vault, the hash of a password: none of them is for anybody else."""

_HEADING = re.compile(r"^## (\S+) \((.+)\)$", re.MULTILINE)
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")


def version_faults(
    version: str, *, changelog: str, command: str, here: Collection[str], tags: Collection[str]
) -> Iterator[str]:
    """Yield where version, CHANGELOG and tag do not say the same.

    Args:
        version: Of ``galaxy.yml``.
        changelog: Text of ``CHANGELOG.md``.
        command: The version that ``novnc-console`` tells.
        here: Tags of the commit that is released; without one it is a rehearsal.
        tags: All tags.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"galaxy.yml: version {version!r} is no semantic version; write 1.2.3"
    if command != version:
        yield (
            f"novnc_console_command/__init__.py says {command} and galaxy.yml {version};"
            " write the same in both"
        )
    newest = _HEADING.search(changelog)
    if not newest:
        yield "CHANGELOG.md has no heading such as '## 1.2.3 (2030-01-31)'; write one"
        return
    if newest[1] != version:
        yield f"CHANGELOG.md begins with {newest[1]} and galaxy.yml says {version}; mend one"
    tag = f"v{version}"
    for other in sorted(one for one in here if re.match(r"v\d", one) and one != tag):
        yield f"the commit is tagged {other} and galaxy.yml says {version}; move the tag or mend it"
    if tag in here and not _DAY.match(newest[2]):
        yield f"the commit is tagged {tag} and CHANGELOG.md says '{newest[2]}'; write the day"
    if tag in tags and tag not in here:
        yield f"{tag} is released already, as another commit; write the next version in galaxy.yml"


def content_faults(files: Mapping[str, bytes], tracked: Collection[str]) -> Iterator[str]:
    """Yield what of a tarball does not belong there, and what is missing.

    Args:
        files: Its files' contents by their paths.
        tracked: The paths that git knows.
    """
    for name, content in sorted(files.items()):
        path = PurePosixPath(name)
        if path.parts[0] not in CONTENT:
            yield f"{name}: '{path.parts[0]}' is no part of a collection; add it to build_ignore"
        elif FOREIGN & set(path.parts) or any(part.startswith(".") for part in path.parts):
            yield f"{name}: this is for the project only; add it to build_ignore"
        elif name not in tracked and name not in MADE:
            yield f"{name}: git does not know it; commit it or remove it"
        if SECRET.search(content):
            yield f"{name}: there is a key, a vault or a password's hash in it; remove it"
    for name in sorted(set(tracked) - set(files)):
        path = PurePosixPath(name)
        if path.parts[0] in CONTENT and not FOREIGN & set(path.parts):
            yield f"{name}: it is not in the tarball; look into build_ignore"


def documentation_faults(
    kind: str, taken: Mapping[str, Any], told: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what of plugins of a kind is not documented, or is and does not exist.

    Args:
        kind: ``module`` or ``filter``.
        taken: What each takes, by its name: its options, each with the options in it.
        told: What ``ansible-doc --json`` tells of each, by its full name.
    """
    for name, options in sorted(taken.items()):
        found = told.get(f"novnc.fleet.{name}", {})
        doc = found.get("doc")
        if not doc:
            yield f"{kind} {name}: ansible-doc knows nothing of it; write its documentation"
            continue
        own = doc.get(kind) or doc.get("name")
        if own != name:
            yield f"{kind} {name}: ansible-doc shows the documentation of {own}; give it its own"
        missing = [key for key in ("examples", "return") if not found.get(key)]
        missing += [key for key in ("short_description", "description") if not doc.get(key)]
        for key in missing:
            yield f"{kind} {name}: it has no {key}; write it"
        yield from _option_faults(f"{kind} {name}", options, doc.get("options", {}))


def _option_faults(
    where: str, taken: Mapping[str, Any] | None, told: Mapping[str, Any]
) -> Iterator[str]:
    """Yield which options differ; ``taken`` is None where nobody can tell."""
    for name, option in told.items():
        if not option.get("description"):
            yield f"{where}: {name} has no description; write it"
        if taken is None or name in taken:
            # A dictionary that takes anything may say what people put into it.
            inner = (taken[name] or None) if taken else None
            yield from _option_faults(f"{where}: {name}", inner, option.get("suboptions") or {})
    if taken is not None:
        for name in sorted(set(taken) - set(told)):
            yield f"{where}: {name} is not documented; describe it"
        for name in sorted(set(told) - set(taken)):
            yield f"{where}: {name} is documented and not taken; remove it"


def role_faults(
    entry_points: Mapping[str, Collection[str]], told: Mapping[str, Any]
) -> Iterator[str]:
    """Yield which roles, entry points or variables ``ansible-doc`` does not tell.

    Args:
        entry_points: The names of each role's variables (of ``defaults/main.yml``).
        told: What ``ansible-doc -t role --json`` tells, by the roles' full names.
    """
    for role, variables in sorted(entry_points.items()):
        points = told.get(f"novnc.fleet.{role}", {}).get("entry_points", {})
        if "main" not in points:
            yield f"role {role}: ansible-doc knows nothing of it; write meta/argument_specs.yml"
            continue
        for point, spec in points.items():
            where = f"role {role}, {point}" if point != "main" else f"role {role}"
            missing = [key for key in ("short_description", "description") if not spec.get(key)]
            for key in missing:
                yield f"{where}: it has no {key}; write it"
            for name, option in spec.get("options", {}).items():
                yield from _nested(f"{where}: {name}", option)
        for name in sorted(set(variables) - set(points["main"].get("options", {}))):
            yield f"role {role}: {name} is not documented; describe it in meta/argument_specs.yml"


def _nested(where: str, option: Mapping[str, Any]) -> Iterator[str]:
    if not option.get("description"):
        yield f"{where} has no description; write it"
    for name, inner in (option.get("options") or {}).items():
        yield from _nested(f"{where}: {name}", inner)
