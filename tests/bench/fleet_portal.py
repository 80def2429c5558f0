"""5,000 VMs behind one gateway: what it costs to know them, and how the portal shows them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import NAMESPACE_DNS, uuid5

from playwright.sync_api import Browser

from tests.bench.browser import browser, milliseconds, visitor
from tests.bench.gateway import PKI, Site, run_gateway_playbook
from tests.bench.host import Host
from tests.bench.measures import until
from tests.bench.report import Measure, alone
from tests.harness.project import CACHE
from tests.harness.simulated import Endpoints

_HOSTS, _VMS = 100, 50
_INVENTORY = CACHE / "bench-fleet.json"
_UNIT = "novnc-directory.service"
_WINDOW = 30.0
"""Seconds over which the work of the directory is looked at: ten questions to each endpoint."""
_ROUNDS = 7
_MIB = 1 << 20
_WANTED = "vm4321"
_TYPED = """
(() => {
  const answered = () =>
    document.querySelector("#search")?.value === "WANTED"
    && document.querySelectorAll("#hosts li:not([hidden])").length === 1;
  const look = () => {
    if (!answered()) requestAnimationFrame(look);
    // Once it is painted.
    else requestAnimationFrame(() => setTimeout(() => { window.answered = performance.now(); }));
  };
  look();
})();
""".replace("WANTED", _WANTED)


@contextmanager
def _simulated(gateway: Host) -> Iterator[None]:
    """Have the gateway ask endpoints of this machine, beside those it has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((gateway.address, 1))  # sends nothing
        address = sock.getsockname()[0]
    hosts = [f"sim{number:03}" for number in range(_HOSTS)]
    with Endpoints(PKI, hosts, address) as endpoints:
        for number, host in enumerate(hosts):
            names = [f"vm{number * _VMS + one:04}" for one in range(_VMS)]
            endpoints[host].vms = [_vm(host, name) for name in names]
        known = {
            host: {"ansible_host": address, "novnc_endpoint_port": endpoints[host].port}
            for host in hosts
        }
        _INVENTORY.write_text(json.dumps({"novnc_hypervisors": {"hosts": known}}))
        run_gateway_playbook(gateway, _INVENTORY)
        yield


def _vm(host: str, name: str) -> dict[str, str]:
    uuid = str(uuid5(NAMESPACE_DNS, name))
    state = "off" if name.endswith("7") else "running"
    return {"host": host, "vm": name, "uuid": uuid, "title": f"Machine {name}", "state": state}


def _directory(gateway: Host) -> tuple[float, float]:
    """Return the directory's use of a core (per cent), and its memory (MiB)."""
    before, start = gateway.cpu_seconds(_UNIT), time.monotonic()
    time.sleep(_WINDOW)
    used = (gateway.cpu_seconds(_UNIT) - before) / (time.monotonic() - start)
    return 100 * used, gateway.pss(_UNIT) / _MIB


def _search(running: Browser, site: Site) -> tuple[float, float]:
    """Return milliseconds until the list can be searched, and until a search is answered."""
    with visitor(running, site) as context:
        context.add_init_script(_TYPED)
        page = context.new_page()
        page.goto(f"https://{site.gateway.address}/", wait_until="commit")
        page.locator("#search").wait_for()
        usable = milliseconds(page, "performance.now()")
        page.keyboard.press("/")
        page.keyboard.type(_WANTED)
        return usable, milliseconds(page, "window.answered ?? null")


def measure(site: Site) -> list[Measure]:
    """Take the figures; the gateway's fleet is a large one afterwards."""
    gateway = site.gateway
    few_cpu, few_memory = _directory(gateway)
    with _simulated(gateway):
        until(lambda: len(site.consoles()) >= _HOSTS * _VMS, "all VMs")
        cpu, memory = _directory(gateway)
        with browser() as running:
            taken = [_search(running, site) for _ in range(_ROUNDS + 1)][1:]
    fleet = f"{_HOSTS * _VMS} VMs on {_HOSTS} hosts"
    return [
        Measure(gateway.name, f"{fleet}: CPU of polls, to 3 on 1", "%", cpu, few_cpu, 1, None),
        Measure(gateway.name, f"{fleet}: memory, to 3 on 1", "MiB", memory, few_memory, 1, None),
        alone(gateway.name, f"{fleet}: portal can be searched", "ms", [a for a, _ in taken], None),
        alone(gateway.name, f"{fleet}: a search is answered", "ms", [b for _, b in taken], 1000),
    ]
