"""Containers that systemd runs in, and what the tests do in them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ansible

from tests.harness.project import ROOT

RUN = str(ROOT / "docker" / "run")

PROJECT = "/srv/novnc-fleet"
"""Where a machine has this project."""

BOOT = f"{PROJECT}/docker/test-host/boot"
"""What it does first."""

ANSIBLE = "/srv/ansible"
"""Where it has the part of Ansible that runs on hypervisors."""

BOOT_TIMEOUT = 60
"""Seconds in which systemd must have started everything."""


def output(*command: str, stdin: str = "", timeout: float = 60) -> str:
    """Return what a command prints.

    Raises:
        AssertionError: It fails; the message has all that it printed.
        subprocess.TimeoutExpired: It takes more than ``timeout`` seconds.
    """
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Machine:
    """A running container.

    Attributes:
        name: The container's name.
        address: Its IPv4 address, which this machine reaches.
        python: Path of the interpreter that modules and consoles are to run on.
    """

    name: str
    address: str
    python: str

    def run(self, *command: str, stdin: str = "") -> str:
        """Return what a command in it prints; errors as in `output`."""
        return output("docker", "exec", "--interactive", self.name, *command, stdin=stdin)

    def write(self, path: str, content: str) -> None:
        """Write a file, and the directories above it."""
        self.run("install", "-D", "--mode", "0644", "/dev/stdin", path, stdin=content)

    def module(self, name: str, /, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        """Run a module of ours as Ansible does, and return its result; errors as in `output`."""
        arguments = {"ANSIBLE_MODULE_ARGS": {**options, "_ansible_check_mode": check_mode}}
        printed = self.run(
            *("env", f"PYTHONPATH={ANSIBLE}:{PROJECT}/playbooks/collections"),
            *(self.python, "-B", "-m", f"ansible_collections.novnc.fleet.plugins.modules.{name}"),
            stdin=json.dumps(arguments),
        )
        result: dict[str, Any] = json.loads(printed)
        return result


@contextmanager
def started(
    name: str, image: str, *, python: str, mounts: Mapping[str, Path] | None = None
) -> Iterator[Machine]:
    """Start a machine, yield it once it has booted, and remove it.

    Args:
        name: Of the container; one that is left of an earlier run is replaced.
        image: Of the container; systemd is its first process.
        python: As in `Machine`.
        mounts: What the machine has of this one, read-only, by its path there.

    Raises:
        AssertionError: It does not come up; the message has what docker or systemd said.
    """
    project = {PROJECT: ROOT, f"{ANSIBLE}/ansible/module_utils": _module_utils()}
    volumes = [
        f"--volume={here}:{there}:ro" for there, here in {**project, **(mounts or {})}.items()
    ]
    remove = ("docker", "rm", "--force", "--volumes", name)
    output(*remove)
    try:
        output(RUN, "--name", name, "--hostname", name, *volumes, image, BOOT)
        networks = json.loads(output("docker", "inspect", name))[0]["NetworkSettings"]["Networks"]
        machine = Machine(name, networks["bridge"]["IPAddress"], python)
        # At first there is nobody to ask.
        wait = "until test -S /run/systemd/private; do sleep 0.1; done;"
        wait += " systemctl is-system-running --wait || { systemctl --failed; exit 1; }"
        machine.run("timeout", str(BOOT_TIMEOUT), "sh", "-c", wait)
        # As in the archive that Ansible sends, this file is all that there is beside module_utils.
        machine.write(f"{ANSIBLE}/ansible/__init__.py", "")
        yield machine
    finally:
        output(*remove)


def _module_utils() -> Path:
    """Return where the virtualenv has the part of Ansible that runs on hypervisors."""
    assert ansible.__file__
    return Path(ansible.__file__).resolve().parent / "module_utils"
