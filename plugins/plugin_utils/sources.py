# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The sources of a package and of what it imports from this collection's ``module_utils``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (".py", ".html", ".css", ".js")
"""Of the files that make up a package."""

_PREFIX = "ansible_collections/novnc/fleet/plugins/module_utils"
_IMPORT = re.compile(rf"^\s*from {_PREFIX.replace('/', '[.]')}[.](\w+) import", re.MULTILINE)
_UTILS = Path(__file__).resolve().parent.parent / "module_utils"


def sources_of(packages: Iterable[Path]) -> dict[str, str]:
    """Return the sources by their path below a directory of ``sys.path``.

    Raises:
        OSError: A package, or what it imports, is not there.
    """
    found = {
        f"{package.name}/{path.relative_to(package)}": path.read_text()
        for package in packages
        for path in sorted(package.rglob("*"))
        if path.suffix in SUFFIXES
    }
    missing = imported(found.values())
    while missing:
        found |= {f"{_PREFIX}/{name}.py": (_UTILS / f"{name}.py").read_text() for name in missing}
        missing = {name for name in imported(found.values()) if f"{_PREFIX}/{name}.py" not in found}
    return found


def imported(sources: Iterable[str]) -> set[str]:
    """Return the names of the ``module_utils`` that some sources import."""
    return {name for text in sources for name in _IMPORT.findall(text)}
