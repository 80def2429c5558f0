"""Where what the documents say is done: a clone, and hosts for the names that stand there."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.harness import fleet, releases
from tests.harness.manual import Block
from tests.harness.project import BIN, CACHE, ENV, ROOT

HOSTS = {"kvm1": "kvm21", "kvm2": "kvm22", "gw1": "gw3", "proxy1": "proxy1"}
"""The hosts of the scenario by the names that they have in the documents."""

ADDRESSES = {
    "192.168.0.20": "198.18.90.64",
    "192.168.0.10": "198.18.90.63",
    "192.168.0.2": "198.18.90.61",
    "192.168.0.3": "198.18.90.62",
}
"""Their addresses by those in the documents."""

PASSWORD = "ada's password"  # noqa: S105 (of a test's account)
HASH = "scrypt$15$8$1$…"
"""Stands in the documents for the hash of a password."""

MIRRORED = "file:///srv/mirror/noVNC-1.6.0.tar.gz"
CHECKSUM = "sha256:…"
"""Stand there for a release on a mirror."""

LEFT_OUT = (".git", ".venv", ".cache", ".ansible", "__pycache__")
TIMEOUT = 600.0
"""Seconds after which a command is stuck."""


class Stage:
    """The clone, and the hosts.

    Attributes:
        clone: Its directory.
        hosts: The hosts by the names that they have in the documents.
    """

    def __init__(self, place: Path) -> None:
        self.clone = place / "novnc-fleet"
        shutil.copytree(ROOT, self.clone, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        groups = ("novnc_hypervisors", "novnc_gateways", "reverse_proxies")
        there = {name: host for group in groups for name, host in fleet.hosts(group).items()}
        self.hosts: dict[str, Any] = {name: there[own] for name, own in HOSTS.items()}
        self._printed = ""
        # Nothing of what molecule tells the tests' own Ansible.
        own = {k: v for k, v in ENV.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
        self._env = {
            **own,
            "ANSIBLE_CALLBACK_PLUGINS": ENV["ANSIBLE_CALLBACK_PLUGINS"],
            "HOME": str(place),
            "ANSIBLE_REMOTE_USER": "root",
            "ANSIBLE_PRIVATE_KEY_FILE": str(CACHE / "ssh" / "id_ed25519"),
            "ANSIBLE_SSH_COMMON_ARGS": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
            " -o LogLevel=ERROR",
        }
        self._instead = {HASH: self._hash_of_password()}
        release = releases.archive("1.6.0")
        self._instead[MIRRORED] = release.as_uri()
        self._instead[CHECKSUM] = f"sha256:{hashlib.sha256(release.read_bytes()).hexdigest()}"

    def real(self, text: str) -> str:
        """Return a text with what things really have: addresses, hash, release."""
        for shown, own in ADDRESSES.items():
            text = re.sub(rf"(?<![\d.]){re.escape(shown)}(?![\d])", own, text)
        for shown, own in self._instead.items():
            text = text.replace(shown, own)
        return text

    def _hash_of_password(self) -> str:
        """Return the hash of the password, made as the documents say."""
        command = [BIN / "python", self.clone / "scripts" / "password-hash"]
        done = subprocess.run(
            command, input=PASSWORD + "\n", capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def follow(self, blocks: Iterable[Block]) -> None:
        """Do what blocks say, in their order. Raises AssertionError."""
        for block in blocks:
            if block.action == "file":
                self._write(block)
            elif block.action == "run":
                self._run(block)
            elif block.action == "prints":
                self._compare(block)

    def put(self, host: str, path: str, text: str) -> None:
        """Write a file on a host."""
        file, content = shlex.quote(path), shlex.quote(text)
        written = self.hosts[host].run(
            f"mkdir -p $(dirname {file}) && printf %s {content} > {file}"
        )
        assert written.rc == 0, written.stderr

    def _write(self, block: Block) -> None:
        text = self.real(block.text)
        if block.host:
            self.put(block.host, block.path, text)
            return
        file = self.clone / block.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def _run(self, block: Block) -> None:
        script = f"set -euo pipefail\n{self.real(block.text)}"
        if block.host:
            done = self.hosts[block.host].run(f"bash -c {shlex.quote(script)} 2>&1")
            status, self._printed = done.rc, done.stdout
        else:
            ran = subprocess.run(
                ["bash", "-c", script],
                cwd=self.clone,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
            status, self._printed = ran.returncode, ran.stdout
            assert "as an inventory source" not in ran.stdout, f"{block.where}:\n{ran.stdout}"
        assert status == block.ends, (
            f"{block.where} ended with {status}, and not with {block.ends}:\n{self._printed}"
        )

    def _compare(self, block: Block) -> None:
        """See that each line of a block was printed."""
        lines = [" ".join(line.split()) for line in self._printed.splitlines()]
        for expected in filter(None, self.real(block.text).splitlines()):
            plain = re.escape(" ".join(expected.split())).replace("…", ".*")
            # Ansible prints a list of texts as YAML.
            pattern = re.compile(rf"[-'\" ]*{plain}['\"]*")
            assert any(pattern.fullmatch(line) for line in lines), (
                f"{block.where}: '{expected}' was not printed:\n{self._printed}"
            )
