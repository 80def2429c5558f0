"""The hosts of the scenario ``bench``: a gateway, a hypervisor, and other ways to the same VMs.

The gateway, the endpoint and the direct consoles are set up by the playbooks, as anywhere. What
they are compared with stands in ``/run``: nginx as manuals put it in front of a plain websockify,
and a websockify that serves noVNC itself. Both websockifys are upstream's newest.
"""

from __future__ import annotations

import http.client
import json
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlencode

from tests.bench import fleet_size
from tests.bench.client import TIMEOUT, BenchError, Door, tls_context
from tests.bench.endpoint_rivals import FLOOD_BYTES, programs
from tests.bench.host import Host, hosts_of
from tests.bench.measures import until
from tests.harness.project import CACHE, ROOT

SCENARIO = "bench"
INVENTORY = ROOT / "molecule" / SCENARIO / "inventory"
PKI = CACHE / "bench-gateway-pki"
CA = PKI / "ca.crt"
VM, ECHO, FLOOD = "vm01", "echo", "flood"
COOKIE = "novnc_fleet_session"

_PLAYBOOK = ROOT / "playbooks" / "gateway.yml"
_SERVERS = {ECHO: (7020, "echo"), FLOOD: (7021, str(FLOOD_BYTES))}
_PLAIN_PORT, _WEB_PORT, _NGINX_PORT = 7030, 7031, 8443
_DIRECTORY = "/run/novnc-bench"
_UNITS = "/run/systemd/system"
_PREFIX = "novnc-bench-"
_NGINX = """
error_log stderr;
pid {directory}/nginx.pid;
worker_processes auto;
events {{ worker_connections 768; }}
http {{
    access_log off;
    server {{
        listen {listen} ssl;
        ssl_certificate /etc/novnc-fleet/gateway/tls.crt;
        ssl_certificate_key /etc/novnc-fleet/gateway/tls.key;
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 1d;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class ConsoleDoor(Door):
    """The way in to a VM by the gateway, for somebody who has logged in."""

    vm: str
    cookie: str

    @property
    def path(self) -> str:
        """Where the VM's WebSocket is."""
        return f"/vm/{self.vm}/websockify"

    @property
    def headers(self) -> str:
        """What a browser sends along."""
        return f"Origin: {self.origin}\r\nCookie: {COOKIE}={self.cookie}\r\n"


@dataclass(frozen=True)
class Site:
    """The gateway and the hypervisor, and the ways to its VMs."""

    gateway: Host
    hypervisor: Host

    @cached_property
    def cookie(self) -> str:
        """A log-in. Raises BenchError, OSError."""
        form = urlencode({"username": "ada", "password": "ada's password"})
        kind = "application/x-www-form-urlencoded"
        with self._asked("POST", "/login", form, {"Content-Type": kind}) as answer:
            name, _, rest = answer.headers.get("Set-Cookie", "").partition("=")
        if name != COOKIE:
            raise BenchError(f"the gateway answered {answer.status} to a log-in")
        return rest.partition(";")[0]

    def consoles(self) -> list[dict[str, str]]:
        """Return what the gateway tells of its consoles. Raises OSError, ValueError."""
        headers = {"Cookie": f"{COOKIE}={self.cookie}"}
        with self._asked("GET", "/consoles.json", None, headers) as answer:
            found: list[dict[str, str]] = json.load(answer)
        return found

    @contextmanager
    def _asked(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        address = self.gateway.address
        with closing(
            http.client.HTTPSConnection(address, context=tls_context(), timeout=TIMEOUT)
        ) as connection:
            connection.request(method, path, body, {"Origin": f"https://{address}", **headers})
            yield connection.getresponse()

    def console(self, vm: str) -> ConsoleDoor:
        """Return the way through the gateway."""
        return ConsoleDoor(self.gateway.address, 443, True, vm, self.cookie)

    def direct_console(self, vm: str) -> Door:
        """Return the way to the direct console, over TLS too."""
        return self.hypervisor.door(self.hypervisor.vms[vm]["listen_port"])

    def vnc_server(self, vm: str) -> tuple[str, int]:
        """Return where the VNC server itself is, with nothing between."""
        return self.hypervisor.address, self.hypervisor.vms[vm]["vnc"]

    @property
    def rival(self) -> Door:
        """The way to `VM` by nginx and a plain websockify."""
        return Door(self.gateway.address, _NGINX_PORT, True)

    @property
    def gateway_page(self) -> str:
        """Where a browser finds the console of `VM`."""
        return f"https://{self.gateway.address}/vm/{VM}/"

    @property
    def rival_page(self) -> str:
        """The same, of a websockify that serves noVNC itself."""
        place = f"{self.hypervisor.address}:{_WEB_PORT}"
        return f"https://{place}/vnc.html?autoconnect=true&resize=scale"


def run_gateway_playbook(gateway: Host, *inventories: Path) -> None:
    """Set the gateway up, for the hypervisors of more inventories too. Raises BenchError."""
    fleet_size.run(_PLAYBOOK, gateway, {}, *inventories)


def _websockify(*words: str) -> str:
    return f"Environment=PYTHONPATH={_DIRECTORY}\nExecStart=" + shlex.join(
        ["/usr/bin/python3", "-S", "-m", "websockify", *words]
    )


def _start(host: Host, units: dict[str, str], files: dict[str, bytes]) -> None:
    """Put files and services on a host, and start these."""
    texts = {
        f"{_UNITS}/{_PREFIX}{name}.service": f"[Service]\n{text}\nLimitNOFILE=65536\n".encode()
        for name, text in units.items()
    }
    host.put({**files, **texts})
    names = " ".join(f"{_PREFIX}{name}" for name in units)
    host.shell(f"systemctl daemon-reload\nsystemctl start {names}")


def _wait_for_listener(host: Host, port: int) -> None:
    listens = f"ss -Hltn sport = :{port}"
    until(lambda: bool(host.shell(listens).strip()), f"port {port} of {host.name}")


def _make_servers(host: Host) -> None:
    units = {
        what: f"ExecStart=/usr/bin/python3 {_DIRECTORY}/vnc_server.py 0.0.0.0 {port} BENCH {answer}"
        for what, (port, answer) in _SERVERS.items()
    }
    _start(host, units, programs(_DIRECTORY))
    for port, _ in _SERVERS.values():
        _wait_for_listener(host, port)


def _make_rivals(site: Site) -> None:
    host = site.hypervisor
    target = f"127.0.0.1:{host.vms[VM]['vnc']}"
    cert, key = host.certificate
    tls = [f"--cert={cert}", f"--key={key}", "--ssl-only"]
    web = [*tls, "--web=/usr/share/novnc", f"{host.address}:{_WEB_PORT}", target]
    plain = f"{host.address}:{_PLAIN_PORT}"
    _start(host, {"plain": _websockify(plain, target), "web": _websockify(*web)}, {})
    for port in (_PLAIN_PORT, _WEB_PORT):
        _wait_for_listener(host, port)
    listen = f"{site.gateway.address}:{_NGINX_PORT}"
    file = f"{_DIRECTORY}/nginx.conf"
    written = _NGINX.format(directory=_DIRECTORY, listen=listen, upstream=plain)
    command = f"ExecStart=/usr/sbin/nginx -c {file} -g 'daemon off;'"
    _start(site.gateway, {"nginx": command}, {file: written.encode()})
    _wait_for_listener(site.gateway, _NGINX_PORT)


@contextmanager
def site(control: Path) -> Iterator[Site]:
    """Set up the scenario's hosts, which are just prepared; ssh's sockets are in ``control``."""
    by_name = {host.name: host for host in hosts_of(INVENTORY, control)}
    found = Site(by_name["gw3"], by_name["kvm19"])
    try:
        _make_servers(found.hypervisor)
        fleet_size.run(fleet_size.OURS, found.hypervisor, {})
        run_gateway_playbook(found.gateway)
        _make_rivals(found)
        yield found
    finally:
        for host in by_name.values():
            host.disconnect()
