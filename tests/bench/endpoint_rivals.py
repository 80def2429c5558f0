"""The endpoint on a test host and, beside it, what else shows VMs over TLS.

The endpoint is set up by ``consoles.yml``, as anywhere, with an authority of the bench's own and
two typed VMs that a VNC server without a screen stands for; run without these afterwards, it
leaves the host as it was. All else stands in ``/run``. websockify is upstream's newest wheel, with
the endpoint's certificate; it runs without numpy, which makes it the lighter and quicker to start.
"""

from __future__ import annotations

import shlex
import ssl
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

from tests.bench import fleet_size
from tests.bench.client import BenchError, Door, tls_context
from tests.bench.host import Host
from tests.harness import releases
from tests.harness.project import CACHE, ROOT

PKI = CACHE / "bench-pki"
WEBSOCKIFY = "0.13.0"
VM, ECHO, FLOOD = "vm", "echo", "flood"
FLOOD_BYTES = 256 << 20
ENDPOINT_PORT = 16900
_SERVERS = {ECHO: (7020, "echo"), FLOOD: (7021, str(FLOOD_BYTES))}
_STOCK_PORTS = {VM: 7022, ECHO: 7023, FLOOD: 7024}
_COLD_PORT, _QEMU_PORT = 7025, 7026
_DIRECTORY = "/run/novnc-bench-endpoint"
_UNITS = "/run/systemd/system"
_PREFIX = "novnc-bench-tls-"
_LONGEST = 1200
"""Seconds after which what nobody removed ends."""


@dataclass(frozen=True)
class GatewayDoor(Door):
    """The way in to a VM through the endpoint, as a gateway goes it."""

    vm: str

    @property
    def path(self) -> str:
        """Where the VM's WebSocket is."""
        return f"/vm/{self.vm}/websockify"

    @property
    def headers(self) -> str:
        """Who comes."""
        return "X-Console-User: bench\r\nX-Console-Mode: control\r\n"

    @property
    def context(self) -> ssl.SSLContext:
        """With the gateway's certificate."""
        return _gateway_context()


@dataclass(frozen=True)
class RootDoor(Door):
    """The way in to QEMU's own WebSocket."""

    @property
    def path(self) -> str:
        """The only one there is."""
        return "/"


@dataclass(frozen=True)
class Way:
    """A unit under test, and the door to what is behind it."""

    unit: str
    door: Door


@cache
def _gateway_context() -> ssl.SSLContext:
    context = tls_context()
    context.load_cert_chain(PKI / "gateway.crt", PKI / "gateway.key")
    return context


def endpoint(host: Host, what: str) -> Way:
    """Return the endpoint, and its door to a VM or a server."""
    vm = host.vm()["vm"] if what == VM else f"bench-{what}"
    return Way("novnc-endpoint.service", GatewayDoor(host.address, ENDPOINT_PORT, True, vm))


def stock(host: Host, what: str) -> Way:
    """Return a websockify, and its door to a VM or a server."""
    return Way(f"{_PREFIX}{what}.service", Door(host.address, _STOCK_PORTS[what], True))


def stock_on_demand(host: Host) -> Way:
    """Return the websockify that its first visitor starts."""
    return Way(f"{_PREFIX}cold.service", Door(host.address, _COLD_PORT, True))


def qemu(host: Host) -> Way:
    """Return a QEMU that has a WebSocket of its own."""
    return Way(f"{_PREFIX}qemu.service", RootDoor(host.address, _QEMU_PORT, True))


def raw_echo(host: Host) -> tuple[str, int]:
    """Return where the echoing server can be reached without any proxy."""
    return host.address, _SERVERS[ECHO][0]


def programs(directory: str) -> dict[str, bytes]:
    """Return the server without a screen and the newest websockify, as files of a directory."""
    server = ROOT / "tests/harness/vnc_server.py"
    files = {f"{directory}/{server.name}": server.read_bytes()}
    with zipfile.ZipFile(releases.wheel(WEBSOCKIFY)) as packed:
        for name in packed.namelist():
            if name.startswith("websockify/"):
                files[f"{directory}/{name}"] = packed.read(name)
    return files


def _websockify(*words: str) -> str:
    etc = "/etc/novnc-fleet/endpoint"
    options = [f"--cert={etc}/tls.crt", f"--key={etc}/tls.key", "--ssl-only", *words]
    return f"Environment=PYTHONPATH={_DIRECTORY}\nExecStart=" + shlex.join(
        ["/usr/bin/python3", "-S", "-m", "websockify", *options]
    )


def _units(host: Host, vm: str) -> dict[str, str]:
    """Return the units, by name: what stands in each section ``[Service]`` or ``[Socket]``."""
    address = host.address
    units = {
        f"{what}-server.service": "ExecStart=/usr/bin/python3"
        f" {_DIRECTORY}/vnc_server.py 0.0.0.0 {port} BENCH {answer}"
        for what, (port, answer) in _SERVERS.items()
    }
    targets = {VM: vm} | {what: f"127.0.0.1:{port}" for what, (port, _) in _SERVERS.items()}
    for what, target in targets.items():
        units[f"{what}.service"] = _websockify(f"{address}:{_STOCK_PORTS[what]}", target)
    units["cold.service"] = (
        f"StandardInput=socket\nStandardOutput=journal\n{_websockify('--inetd', vm)}"
    )
    units["cold.socket"] = f"ListenStream={address}:{_COLD_PORT}\nTriggerLimitIntervalSec=0"
    units["qemu.service"] = (
        "ExecStart=/usr/bin/qemu-system-x86_64 -name bench -accel tcg,tb-size=16"
        " -machine pc,acpi=off -m 16 -nodefaults -display none -vga std"
        f" -object tls-creds-x509,id=tls,dir={_DIRECTORY}/tls,endpoint=server,verify-peer=no"
        f" -vnc 127.0.0.1:99,websocket={address}:{_QEMU_PORT},tls-creds=tls,share=force-shared"
    )
    return units


def _install(host: Host, vm: str) -> None:
    """Put everything but the endpoint on a host, and start what waits for visitors."""
    files = programs(_DIRECTORY)
    for name, text in _units(host, vm).items():
        section = "Socket" if name.endswith(".socket") else "Service"
        limits = "" if section == "Socket" else f"RuntimeMaxSec={_LONGEST}\nLimitNOFILE=65536\n"
        unit = f"[Unit]\nStartLimitIntervalSec=0\n[{section}]\n{text}\n{limits}"
        files[f"{_UNITS}/{_PREFIX}{name}"] = unit.encode()
    host.put(files)
    etc = "/etc/novnc-fleet/endpoint"
    lines = [
        f"mkdir -p {_DIRECTORY}/tls",
        f"cp {etc}/ca.crt {_DIRECTORY}/tls/ca-cert.pem",
        f"cp {etc}/tls.crt {_DIRECTORY}/tls/server-cert.pem",
        f"cp {etc}/tls.key {_DIRECTORY}/tls/server-key.pem",
        "systemctl daemon-reload",
        f"systemctl start {_PREFIX}echo-server {_PREFIX}flood-server {_PREFIX}cold.socket",
    ]
    host.shell("\n".join(lines))


def _remove(host: Host) -> None:
    """Remove everything but the endpoint from a host."""
    host.shell(
        f"cd {_UNITS}; units=$(ls | grep '^{_PREFIX}' || :)\n"
        '[ -z "$units" ] || systemctl stop $units\n'
        f"rm -rf {_DIRECTORY} {_UNITS}/{_PREFIX}*\nsystemctl daemon-reload"
    )


def _endpoint_knobs(host: Host) -> dict[str, object]:
    """Return what makes ``consoles.yml`` give a host an endpoint for the bench."""
    typed = {
        f"bench-{what}": {"vnc": port, "listen_port": 10000 + port, "expect_name": "BENCH"}
        for what, (port, _) in _SERVERS.items()
    }
    return {
        "novnc_endpoint_enabled": True,
        "novnc_endpoint_allowed_names": ["gateway"],
        "novnc_pki_dir": str(PKI),
        "novnc_vms": {**host.vms, **typed},
    }


@contextmanager
def on(host: Host) -> Iterator[None]:
    """Have the endpoint and its rivals on a host; the services under test do not run yet."""
    _remove(host)  # what an earlier bench may have left when it was killed
    try:
        fleet_size.run(fleet_size.OURS, host, _endpoint_knobs(host))
        _install(host, host.vm()["vnc"])
        yield
    finally:
        with suppress(BenchError):  # what went wrong first is what to tell
            _remove(host)
        fleet_size.run(fleet_size.OURS, host, {})
