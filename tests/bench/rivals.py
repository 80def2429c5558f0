"""What the bench puts on a test host, and takes away again.

Our side are further instances of the installed ``novnc-console@``: the very program and sandbox
of the demo's consoles, whose visitors stay undisturbed. The other side is the distribution's
``/usr/bin/websockify`` as its manual starts it. Both stand in ``/run``, so that a reboot would
remove what a killed bench left, and ``/etc`` never differs from what Ansible wrote.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.bench.client import BenchError
from tests.bench.host import Host

IDLE = 5
"""Seconds without a visitor after which the proxies that are started on demand end."""

_LONGEST = 600
"""Seconds after which a stock websockify that nobody removed ends."""

_UNITS = "/run/systemd/system"
_ENVIRONMENT = "/run/novnc-bench"
_WEB_ROOT = "/usr/share/novnc"
_ECHO_SERVER = """
import socket, socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := self.request.recv(4096):
            self.request.sendall(data)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", 7000), Echo).serve_forever()
"""


@dataclass(frozen=True)
class Proxy:
    """A proxy under test: the unit that runs it, and its port."""

    unit: str
    port: int


OUR_VM = Proxy("novnc-console@bench-vm.service", 7001)
OUR_ECHO = Proxy("novnc-console@bench-echo.service", 7002)
STOCK_ON_DEMAND = Proxy("novnc-bench-demand.service", 7003)
STOCK_VM = Proxy("novnc-bench-vm.service", 7004)
STOCK_ECHO = Proxy("novnc-bench-echo.service", 7005)
_ECHO_TARGET = "127.0.0.1:7000"

SOCKETS = [
    proxy.unit.replace(".service", ".socket") for proxy in (OUR_VM, OUR_ECHO, STOCK_ON_DEMAND)
]
SERVICES = [p.unit for p in (OUR_VM, OUR_ECHO, STOCK_ON_DEMAND, STOCK_VM, STOCK_ECHO)]
TARGET = "novnc-bench-target.service"


def _console_files(host: Host, proxy: Proxy, target: str) -> dict[str, str]:
    """Return what makes an instance of our console, as a drop-in and an environment of its own."""
    instance = proxy.unit.removesuffix(".service")
    environment = f"{_ENVIRONMENT}/{instance}.env"
    # A user of its own is what every console gets, and takes systemd some time to make.
    user = instance.replace("@", "-")
    return {
        f"{_UNITS}/{instance}.socket.d/bench.conf": (
            f"[Socket]\nListenStream={host.address}:{proxy.port}\n"
        ),
        f"{_UNITS}/{proxy.unit}.d/bench.conf": (
            f"[Service]\nUser={user}\nEnvironmentFile=\nEnvironmentFile={environment}\n"
        ),
        environment: (
            f'NOVNC_CONSOLE_TARGET="{target}"\n'
            f'NOVNC_CONSOLE_ORIGINS="{host.door(proxy.port).origin}"\n'
            f'NOVNC_CONSOLE_TLS="{"yes" if host.certificate else "no"}"\n'
            f'NOVNC_CONSOLE_IDLE_TIMEOUT="{IDLE}"\n'
        ),
    }


def _websockify(host: Host, *words: str) -> str:
    """Return the command line of the stock websockify."""
    tls: list[str] = []
    if host.certificate:
        cert, key = host.certificate
        tls = [f"--cert={cert}", f"--key={key}", "--ssl-only"]
    return shlex.join(["/usr/bin/websockify", *tls, *words])


def _stock_files(host: Host, vm: str) -> dict[str, str]:
    """Return the units of the stock websockify: one on demand, two by hand."""
    on_demand = _websockify(host, "--inetd", f"--idle-timeout={IDLE}", f"--web={_WEB_ROOT}", vm)
    socket = STOCK_ON_DEMAND.unit.replace(".service", ".socket")
    limit = f"RuntimeMaxSec={_LONGEST}\n"
    files = {
        f"{_UNITS}/{socket}": (
            f"[Socket]\nListenStream={host.address}:{STOCK_ON_DEMAND.port}\n"
            "TriggerLimitIntervalSec=0\n"
        ),
        f"{_UNITS}/{STOCK_ON_DEMAND.unit}": (
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nStandardInput=socket\n"
            f"StandardOutput=journal\nExecStart={on_demand}\n{limit}"
        ),
        f"{_UNITS}/{TARGET}": (
            f"[Service]\nExecStart=/usr/bin/python3 {_ENVIRONMENT}/echo.py\n{limit}"
        ),
        f"{_ENVIRONMENT}/echo.py": _ECHO_SERVER,
    }
    for proxy, target in ((STOCK_VM, vm), (STOCK_ECHO, _ECHO_TARGET)):
        command = _websockify(host, f"{host.address}:{proxy.port}", target)
        files[f"{_UNITS}/{proxy.unit}"] = f"[Service]\nExecStart={command}\n{limit}"
    return files


def _remove(host: Host) -> None:
    """Remove everything of the bench from a host."""
    units = " ".join([*SOCKETS, *SERVICES, TARGET])
    host.shell(
        f"systemctl stop {units} 2>/dev/null || :\n"
        f"rm -rf {_ENVIRONMENT} {_UNITS}/novnc-bench-* {_UNITS}/novnc-console@bench-*\n"
        f"systemctl daemon-reload\nsystemctl reset-failed {units} 2>/dev/null || :"
    )


@contextmanager
def on(host: Host) -> Iterator[None]:
    """Have both sides on a host: the sockets and the echo server run, the proxies do not."""
    vm = host.vm()["vnc"]
    files = (
        _console_files(host, OUR_VM, vm)
        | _console_files(host, OUR_ECHO, _ECHO_TARGET)
        | _stock_files(host, vm)
    )
    lines = [
        f"mkdir -p {shlex.quote(path.rpartition('/')[0])}\n"
        f"printf %s {shlex.quote(text)} >{shlex.quote(path)}"
        for path, text in files.items()
    ]
    _remove(host)  # what an earlier bench may have left when it was killed
    try:
        start = " ".join([*SOCKETS, TARGET])
        host.shell("\n".join([*lines, "systemctl daemon-reload", f"systemctl start {start}"]))
        yield
    except BaseException:
        with suppress(BenchError):  # what went wrong first is what to tell
            _remove(host)
        raise
    _remove(host)
