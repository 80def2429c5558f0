"""A test host, as the bench sees it: what its inventory says, and a shell on it."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.bench.client import BenchError, Door
from tests.harness.demo import INVENTORY
from tests.harness.project import CACHE, ROOT

_TRIES = 5
"""How often the processes of a unit are counted anew, as some came or went meanwhile."""


@dataclass(frozen=True)
class Host:
    """A host of the fleet.

    Attributes:
        name: Its name in the inventory.
        address: Its IPv4 address.
        certificate: Paths of the certificate and the key that its consoles use; empty
            without TLS.
        vms: Its VMs, as the inventory has them.
        inventory: The directory of that inventory.
        control: Socket of the ssh connection that all commands share, since a new one costs
            more than what is measured.
    """

    name: str
    address: str
    certificate: tuple[str, ...]
    vms: dict[str, Any] = field(hash=False)
    inventory: Path
    control: Path = field(repr=False)

    def door(self, port: int) -> Door:
        """Return the way in at a port."""
        return Door(self.address, port, bool(self.certificate))

    def shell(self, script: str, *, timeout: float = 60) -> str:
        """Run a script as root and return what it prints. Raises BenchError if it fails."""
        command = ["ssh", *self._options(), f"root@{self.address}", "exec sh -eu"]
        try:
            done = subprocess.run(
                command, input=script, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name}: no end within {timeout:g} s of: {script}") from None
        if done.returncode:
            raise BenchError(f"{self.name}: {script.strip()[:200]!r} failed: {done.stderr.strip()}")
        return done.stdout

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write files, with the directories that they are in. Raises BenchError."""
        lines = [
            f"mkdir -p {shlex.quote(path.rpartition('/')[0])}\n"
            f"base64 -d >{shlex.quote(path)} <<'END'\n{base64.encodebytes(content).decode()}END"
            for path, content in files.items()
        ]
        self.shell("\n".join(lines))

    def disconnect(self) -> None:
        """End the shared ssh connection."""
        command = ["ssh", *self._options(), "-O", "exit", self.address]
        subprocess.run(command, capture_output=True, timeout=20, check=False)

    def vm(self) -> dict[str, Any]:
        """Return the first of the host's consoles whose VM is reached over TCP, as planned."""
        for console in json.loads(self.shell("cat /etc/novnc-fleet/consoles.json")):
            if not console["vnc"].startswith("unix:"):  # websockify's command line has no way there
                return dict(console)
        raise BenchError(f"{self.name} has no console of a VM with a TCP port")

    def pids(self, unit: str) -> list[int]:
        """Return the processes in the control group of a unit."""
        # Found by name in /proc, which holds for both versions of control groups.
        found = self.shell(f"grep -lF '/{unit}' /proc/[0-9]*/cgroup 2>/dev/null || :")
        return [int(path.split("/")[2]) for path in found.split()]

    def pss(self, unit: str) -> int:
        """Return the proportional set size of a unit's processes together, in bytes."""
        for _ in range(_TRIES):
            pids = self.pids(unit)
            files = " ".join(f"/proc/{pid}/smaps_rollup" for pid in pids)
            # One that has just ended is looked for in vain.
            lines = self.shell(f"cat {files} /dev/null 2>/dev/null || :").splitlines()
            sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")]
            if pids and len(sizes) == len(pids):
                return sum(sizes)
        raise BenchError(f"{self.name}: the memory of {unit} could not be read")

    def cpu_seconds(self, unit: str) -> float:
        """Return the CPU time that a unit's processes have used so far."""
        files = " ".join(f"/proc/{pid}/stat" for pid in self.pids(unit))
        ticks = [
            int(number)
            for line in self.shell(f"cat {files}").splitlines()
            for number in line.rpartition(")")[2].split()[11:13]
        ]
        return sum(ticks) / int(self.shell("getconf CLK_TCK"))

    def _options(self) -> list[str]:
        return [
            "-i", str(CACHE / "ssh" / "id_ed25519"), "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10",
            "-o", "ControlMaster=auto", "-o", "ControlPersist=30",
            "-o", f"ControlPath={self.control}",
        ]  # fmt: skip


def measured_hosts(control: Path) -> list[Host]:
    """Return hosts that have direct consoles, the demo's and those of the scenario ``direct``.

    Their ssh connections' sockets are made in ``control``.
    """
    inventories = (INVENTORY, ROOT / "molecule" / "direct" / "inventory")
    return [host for one in inventories for host in hosts_of(one, control) if host.vms]


def hosts_of(inventory: Path, control: Path) -> list[Host]:
    """Return the hosts of an inventory; their ssh connections' sockets are made in ``control``."""
    return [
        Host(
            name,
            values["ansible_host"],
            tuple(
                values[key]
                for key in ("novnc_console_tls_cert", "novnc_console_tls_key")
                if values.get(key)
            ),
            values.get("novnc_vms", {}),
            inventory,
            control / name,
        )
        for group in yaml.safe_load((inventory / "hosts.yml").read_text()).values()
        for name, values in group.get("hosts", {}).items()
    ]
