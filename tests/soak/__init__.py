"""Long loads, outside `make test`: `make soak`."""

import sys

from tests.harness.project import ROOT

# pytest knows them from pyproject.toml
for path in ("roles/novnc_endpoint/files", "playbooks/collections", "docker/test-host"):
    sys.path.append(str(ROOT / path))
