# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Long loads with lies: through the endpoint's gate, and on the wire against a real endpoint.

Usage: ``python -m tests.soak [--seconds N] [--seed N]``. Both run side by side, the second one on
the hosts of the scenario ``endpoint``, which are started for it and removed. Ends with 1 if one of
them finds a fault.
"""

from __future__ import annotations

import subprocess
import sys

from tests.harness.project import BIN, ENV, ROOT

SCENARIO = "endpoint"
INVENTORY = ROOT / "molecule" / SCENARIO / "inventory" / "hosts.yml"


def molecule(step: str) -> None:
    """Take a step of the scenario. Raises CalledProcessError."""
    command = [str(BIN / "molecule"), step, "--scenario-name", SCENARIO]
    subprocess.run(command, cwd=ROOT, env=ENV, stdin=subprocess.DEVNULL, check=True)


def main(options: list[str]) -> int:
    """Run both; return the exit status."""
    try:
        for step in ("destroy", "create", "prepare", "converge"):
            molecule(step)
        soaks = [
            subprocess.Popen(
                [BIN / "python", "-m", f"tests.soak.{what}", *options],
                cwd=ROOT,
                env={**ENV, "MOLECULE_INVENTORY_FILE": str(INVENTORY)},
            )
            for what in ("gate", "endpoint")
        ]
        return max(soak.wait() for soak in soaks)
    finally:
        molecule("destroy")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
