"""Long loads, outside `make test`: `make soak`."""

import sys

from tests.harness.project import ROOT

sys.path.append(str(ROOT / "roles/novnc_endpoint/files"))  # pytest knows it from pyproject.toml
