"""What the tests of the endpoint stand on: a gateway's way in, and domains of libvirt."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError, StreamClosedError
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.harness.fleet import hosts, variables
from tests.harness.project import CACHE

PKI = CACHE / "endpoint-pki"
GATEWAY = (str(PKI / "gateway.crt"), str(PKI / "gateway.key"))

DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/libvirt/images/{image}.img'/>
      <target dev='hda' bus='ide'/>
    </disk>
    <graphics type='vnc' {graphics}/graphics>
    <video><model type='vga'/></video>
  </devices>
</domain>
"""
AUTO = "port='-1' autoport='yes' listen='127.0.0.1'><"
DOMAINS = {
    "red": AUTO,
    "two words": AUTO,
    "locked": "port='-1' autoport='yes' listen='127.0.0.1' passwd='secret'><",
    "socket": "><listen type='socket'/><",
    "stopped": AUTO,
}


@dataclass(frozen=True)
class Endpoint:
    """A host and its endpoint, as a gateway reaches it."""

    on: Any
    address: str

    def open(
        self,
        vm: str,
        *,
        user: str = "kim",
        mode: str = "control",
        identity: tuple[str, str] | None = GATEWAY,
        authority: Path = PKI,
        timeout: float = 30,
        origin: str | None = None,
        scheme: str = "wss",
    ) -> ByteStream:
        """Open a VM's console as the gateway does for a visitor. Raises HopError."""
        return open_console(
            f"{scheme}://{self.address}:16900/vm/{quote(vm)}/websockify",
            ca=str(authority / "ca.crt"),
            identity=identity,
            headers={"X-Console-User": user, "X-Console-Mode": mode},
            origin=origin,
            timeout=timeout,
        )

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Return status and text of an answer."""
        context = ssl.create_default_context(cafile=PKI / "ca.crt")
        context.load_cert_chain(*GATEWAY)
        line = http.client.HTTPSConnection(self.address, 16900, context=context, timeout=10)
        line.request(method, path, headers=headers)
        answer = line.getresponse()
        text = answer.read().decode()
        line.close()
        return answer.status, text

    def sessions(self) -> list[dict[str, Any]]:
        """Return its sessions."""
        found: list[dict[str, Any]] = json.loads(self.ask("/sessions")[1])
        return found

    def journal(self, session: str) -> list[dict[str, Any]]:
        """Return what the journal has of a session."""
        lines = self.on.check_output("journalctl -u novnc-endpoint -o cat").splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if event.get("session") == session]


def last_words(stream: ByteStream) -> str:
    """Read until the other side closes, and return how."""
    try:
        while True:
            stream.receive()
    except StreamClosedError as closed:
        return str(closed)


def _endpoint(name: str) -> Endpoint:
    return Endpoint(hosts()[name], variables()[name]["ansible_host"])


@pytest.fixture(scope="session")
def plain() -> Endpoint:
    """Return the endpoint of the host without libvirt."""
    return _endpoint("kvm14")


@pytest.fixture(scope="session")
def libvirt() -> Iterator[Endpoint]:
    """Return the endpoint of the host with libvirt, and domains of every kind."""
    found = _endpoint("kvm13")
    with domains(found.on):
        yield found


@contextmanager
def domains(host: Any) -> Iterator[None]:
    """Have domains of every kind for a while."""
    try:
        for name, graphics in DOMAINS.items():
            image = name.replace(" ", "-")
            path = f"/var/lib/libvirt/images/{image}.img"
            host.check_output(f"python3 /usr/local/lib/test-host/guest_image.py {image} {path}")
            xml = DOMAIN.format(name=name, image=image, graphics=graphics)
            host.check_output(
                f'cat > /run/domain.xml <<"END"\n{xml}END\nvirsh define /run/domain.xml'
            )
            if name != "stopped":
                host.check_output(f"virsh start '{name}'")
        yield
    finally:
        for name in DOMAINS:
            host.run(f"virsh destroy '{name}'; virsh undefine '{name}'")


@pytest.fixture
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[str, str]]:
    """Return a function that makes a client certificate, of the endpoint's authority or not."""

    def make(name: str, *, foreign: bool) -> tuple[str, str]:
        directory = tmp_path_factory.mktemp("pki") if foreign else PKI
        Authority(directory).issue([Request(name, "client", (name,))])
        return str(directory / f"{name}.crt"), str(directory / f"{name}.key")

    return make


def refusal(opening: Callable[[], ByteStream]) -> HopError:
    """Return how an attempt to open a console fails."""
    try:
        opening().close()
    except HopError as error:
        return error
    pytest.fail("it was let in")
