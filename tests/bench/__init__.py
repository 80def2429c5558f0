"""Compares the project's consoles with plain websockify; `__main__` says how."""

import sys

from tests.harness.project import ROOT

# pytest knows them from pyproject.toml
for path in ("playbooks/collections", "docker/test-host"):
    sys.path.append(str(ROOT / path))
