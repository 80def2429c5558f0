"""How long a run of ``consoles.yml`` takes for 1, 50 and 200 VMs, beside a loop over VMs."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.client import BenchError
from tests.bench.host import Host
from tests.bench.report import Measure
from tests.harness.project import BIN, ENV, ROOT

OURS = ROOT / "playbooks" / "consoles.yml"
LOOP = ROOT / "tests" / "bench" / "loop.yml"
SIZES = (1, 50, 200)

TIDY = """
cd /etc/systemd/system
systemctl disable -q --now $(ls | grep '^bench-loop-.*[.]socket$') 2>/dev/null || true
rm -f bench-loop-*; systemctl daemon-reload
"""


def run(playbook: Path, host: Host, knobs: Mapping[str, object], *inventories: Path) -> float:
    """Return the seconds that a playbook takes on a host with knobs beyond its inventory's.

    More inventories may tell of hosts beside it.
    """
    known = [word for one in (host.inventory, *inventories) for word in ("-i", one)]
    options = ["-e", json.dumps({"novnc_console_prune_limit": 100, **knobs}), "--limit", host.name]
    start = time.perf_counter()
    done = subprocess.run(
        [BIN / "ansible-playbook", *known, playbook, *options],
        cwd=ROOT,
        # Ansible as users have it: it packs its modules in each run.
        env={key: value for key, value in ENV.items() if key != "ANSIBLE_CALLBACK_PLUGINS"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{playbook.name} failed: {done.stdout[-2000:]}")
    return time.perf_counter() - start


def measure(host: Host) -> list[Measure]:
    """Take the times on one host; its consoles are the demo's again afterwards."""
    took: dict[tuple[Path, int, str], float] = {}
    try:
        for size in SIZES:
            knobs = {"novnc_vms": {f"vm{number}": 7000 + number for number in range(size)}}
            for playbook in (OURS, LOOP):
                took[playbook, size, "first"] = run(playbook, host, knobs)
                took[playbook, size, "unchanged"] = run(playbook, host, knobs)
    finally:
        host.shell(TIDY, timeout=300)
        run(OURS, host, {})
    found = [
        Measure(
            host.name,
            f"{size} VMs, {when}: consoles.yml to a loop",
            "s",
            took[OURS, size, when],
            took[LOOP, size, when],
            n=1,
            goal=0.05 if (size, when) == (200, "unchanged") else 1,
        )
        for size in SIZES
        for when in ("first", "unchanged")
        # Nobody needs a list for a single VM.
        if size > 1
    ]
    one, many = took[OURS, 1, "unchanged"], took[OURS, 200, "unchanged"]
    found.append(Measure(host.name, "200 VMs to 1, unchanged", "s", many, one, n=1, goal=2))
    return found
