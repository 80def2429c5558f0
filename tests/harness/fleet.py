"""A scenario's hosts and consoles, as the tests that run on them see them."""

from __future__ import annotations

import functools
import http.client
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import testinfra
from ansible_collections.novnc.fleet.plugins.module_utils.console import (
    connect_console,
    enter_console,
    open_console,
    parse_console,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream

from tests.harness.project import BIN, CACHE, ENV, ROOT

# molecule names one of the files of its inventory, which lies beside the scenario's.
_molecule = os.environ.get("MOLECULE_INVENTORY_FILE")
INVENTORY = str(Path(_molecule).parent if _molecule else ROOT / "inventory" / "demo")
PKI = CACHE / "demo" / "pki"
CA = PKI / "ca.crt"


@dataclass(frozen=True)
class Session:
    """An open console: the RFB client, the stream below it, and the visitor's TCP port."""

    client: RfbClient
    stream: ByteStream
    port: int


@dataclass(frozen=True)
class Answer:
    """What a console's page answers to a request."""

    status: int
    headers: Message
    content: bytes


@dataclass(frozen=True)
class Console:
    """One console of the scenario, and the host that it is on (a testinfra host)."""

    on: Any
    host: str
    vm: str
    vnc: str
    listen: str
    url: str
    websocket: str

    @property
    def service(self) -> str:
        """The unit of its process."""
        return f"novnc-console@{self.vm}.service"

    @property
    def tls(self) -> bool:
        """Whether it speaks https and wss only."""
        return self.websocket.startswith("wss:")

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """What believes its certificate; None if it speaks plain http."""
        return ssl.create_default_context(cafile=str(CA)) if self.tls else None

    def get(self, path: str) -> Answer:
        """Fetch a file of its page, whatever the answer. Raises OSError, HTTPException."""
        context = self.tls_context
        with closing(
            http.client.HTTPSConnection(*self.address, context=context, timeout=30)
            if context
            else http.client.HTTPConnection(*self.address, timeout=30)
        ) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def main_pid(self) -> int:
        """Return the process id of its websockify; 0 if none runs."""
        return int(self.on.check_output(f"systemctl show -P MainPID {self.service}"))

    @contextmanager
    def opened(self, *, timeout: float, origin: str | None = None) -> Iterator[Session]:
        """Open it as a visitor does, past the handshake; ``timeout`` seconds for all of it."""
        target = parse_console(self.websocket)
        ca = str(CA) if self.tls else None
        with connect_console(target, Deadline(timeout)) as transport:
            port = transport.sock.getsockname()[1]
            with enter_console(transport, target, origin=origin, ca=ca) as stream:
                client = RfbClient(stream)
                client.handshake()
                yield Session(client, stream, port)

    @contextmanager
    def session(self, *, timeout: float = 30.0, origin: str | None = None) -> Iterator[RfbClient]:
        """Open it and yield the RFB client alone."""
        with self.opened(timeout=timeout, origin=origin) as session:
            yield session.client


def background(client: RfbClient) -> tuple[int, int, int]:
    """Return the colour of the guest's background, by which a VM is told from another."""
    return client.framebuffer().pixel(0, 0)


@functools.cache
def variables(group: str = "novnc_hypervisors") -> dict[str, dict[str, Any]]:
    """Return what the inventory says of each host of a group, Jinja unread; nothing without one."""
    listing = subprocess.run(
        [BIN / "ansible-inventory", "-i", INVENTORY, "--list"],
        env=ENV,
        capture_output=True,
        check=True,
    )
    inventory = json.loads(listing.stdout)
    names = inventory.get(group, {"hosts": []})["hosts"]
    return {name: inventory["_meta"]["hostvars"][name] for name in names}


def hosts(group: str = "novnc_hypervisors") -> dict[str, Any]:
    """Return a group's hosts by name."""
    return {
        name: testinfra.get_host(
            f"ssh://root@{said['ansible_host']}",
            ssh_identity_file=str(CACHE / "ssh" / "id_ed25519"),
            ssh_extra_args=said["ansible_ssh_common_args"],
            controlpersist=60,
        )
        for name, said in variables(group).items()
    }


def consoles() -> list[Console]:
    """Return the direct consoles that the hosts say they have."""
    found = []
    for host in hosts().values():
        for entry in json.loads(host.file("/etc/novnc-fleet/consoles.json").content_string):
            keys = ("host", "vm", "vnc", "listen", "url", "websocket")
            if entry["listen"]:
                found.append(Console(on=host, **{key: entry[key] for key in keys}))
    return found


def open_as_gateway(
    address: str, pki: Path, *, mode: str = "control", timeout: float = 30
) -> ByteStream:
    """Open a console behind an endpoint, with the certificate ``gateway`` of an authority."""
    return open_console(
        address,
        ca=str(pki / "ca.crt"),
        identity=(str(pki / "gateway.crt"), str(pki / "gateway.key")),
        headers={"X-Console-User": "kim", "X-Console-Mode": mode},
        timeout=timeout,
    )


# A gateway's directory writes down by itself what hosts tell.
FILES = (
    "find /etc /opt /usr /var -xdev -type f ! -path '/var/log/*' ! -path '/var/lib/systemd/*'"
    " ! -path '/var/lib/novnc-directory/*' ! -name '*.pyc' -printf '%p %s %m %T@\\n' | sort"
)


def fingerprints() -> dict[str, str]:
    """Return every file of every hypervisor and gateway, with its size, mode and time."""
    both = hosts() | hosts("novnc_gateways")
    return {name: host.check_output(FILES) for name, host in both.items()}


@dataclass(frozen=True)
class Playbook:
    """What a run of ansible-playbook came to."""

    status: int
    output: str

    @property
    def changed(self) -> int:
        """Number of changed tasks, over all hosts."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        words = [word.partition("=") for word in recap.split()]
        return sum(int(value) for key, _, value in words if key == "changed")


def start_playbook(
    playbook: str | Path, *options: str, cwd: Path = ROOT, **env: str
) -> subprocess.Popen[str]:
    """Start a playbook on the scenario's hosts, and do not wait for it."""
    return subprocess.Popen(
        [str(BIN / "ansible-playbook"), "-i", INVENTORY, str(playbook), *options],
        cwd=cwd,
        env={**ENV, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen[str], *, timeout: float = 300) -> Playbook:
    """Wait for a playbook, ``timeout`` seconds at most, and return what it came to."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Playbook(process.returncode, output)


def run_playbook(playbook: str | Path, *options: str, cwd: Path = ROOT, **env: str) -> Playbook:
    """Run a playbook on the scenario's hosts."""
    return finished(start_playbook(playbook, *options, cwd=cwd, **env))
