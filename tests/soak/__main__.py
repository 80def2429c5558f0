# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What takes longer than tests may: long loads with lies, and all rounds of which tests do a few.

Usage: ``python -m tests.soak [--part lies|rounds] [--seconds N] [--seed N]``; without a part both.
Lies go through the endpoint's gate, and on the wire against a real endpoint, side by side for N
seconds; the hosts of the scenario ``endpoint`` are started for it and removed. Rounds are the
scenarios whose tests repeat something (`tests/harness/repeats.py`). Ends with 1 if one of them
finds a fault.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.harness.project import BIN, ENV, ROOT
from tests.harness.repeats import SOAK

SCENARIO = "endpoint"
INVENTORY = ROOT / "molecule" / SCENARIO / "inventory" / "hosts.yml"
REPEATING = [f"scenario:{name}" for name in ("gateway", "endpoint", "default", "libvirt")]


def molecule(step: str) -> None:
    """Take a step of the scenario. Raises CalledProcessError."""
    command = [str(BIN / "molecule"), step, "--scenario-name", SCENARIO]
    subprocess.run(command, cwd=ROOT, env=ENV, stdin=subprocess.DEVNULL, check=True)


def lies(options: list[str]) -> int:
    """Tell lies in both places; return the exit status."""
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
        statuses = [soak.wait() for soak in soaks]
        return int(any(statuses))
    finally:
        molecule("destroy")


def rounds() -> int:
    """Run the scenarios whose tests repeat something, as often as they can; return the status."""
    command = [str(BIN / "python"), "-m", "tests.harness.suite", *REPEATING]
    return subprocess.run(command, cwd=ROOT, env={**ENV, SOAK: "1"}, check=False).returncode


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="tests.soak")
    parser.add_argument("--part", choices=("lies", "rounds"))
    known, options = parser.parse_known_args(arguments)
    statuses = []
    if known.part != "rounds":
        statuses.append(lies(options))
    if known.part != "lies":
        statuses.append(rounds())
    return int(any(statuses))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
