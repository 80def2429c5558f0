"""Containers in the place of what the roles bring: what tests of hosts ask for is one of these.

Each module has containers of its own, as those of the endpoint's tests serve other VMs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.endpoint import conftest as endpoints
from tests.endpoint.conftest import Endpoint
from tests.gateway import conftest as gateways
from tests.gateway.visitor import ADDRESS, CA
from tests.harness.containers import (
    PROJECT,
    given,
    logs,
    remove,
    start,
    start_endpoint,
    users_for_libvirt,
    wait_well,
)
from tests.harness.fleet import hosts, variables
from tests.harness.project import ROOT

PLAIN, LIBVIRT = "kvm25", "kvm26"
PLACES = {"kvm17": PLAIN, "kvm18": LIBVIRT}
"""Where the hypervisors of the gateway's fleet are here."""
ALLOWED = {"novnc_endpoint_allowed_names": ["gateway"]}
VMS = {"web01": "127.0.0.1:0", "db01": "unix:/run/qemu/db01.vnc"}
TYPED = {
    "flood": {"vnc": 5990, "expect_name": "FLOOD"},
    "web01": 5900,
    "db01": {"vnc": "unix:/run/qemu/db01.vnc"},
}


@dataclass(frozen=True)
class Imaged:
    """A host and a container in the place of one of its units; docker has the unit's journal."""

    host: Any
    container: str

    def check_output(self, command: str) -> str:
        """Return what a command prints. Raises AssertionError."""
        if command.startswith("journalctl -u novnc-"):
            return logs(self.container)
        return str(self.host.check_output(command))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)


@contextmanager
def imaged(place: Path, name: str, settings: dict[str, Any]) -> Iterator[Imaged]:
    """Have an endpoint of the image beside a test host for a while."""
    host, address = hosts("images")[name], variables("images")[name]["ansible_host"]
    # By the name that gateways have for it, which is not docker's in all cases.
    names = (settings["inventory_hostname"], address)
    server = Request(f"servers/{name}", "server", names)
    Authority(endpoints.PKI).issue([server, Request.of("client", "gateway")])
    host.check_output("systemctl start libvirtd")
    for command in users_for_libvirt():
        host.run(command)
    groups = host.check_output("stat -c %g /var/lib/libvirt/qemu /run/qemu").split()
    try:
        container = start_endpoint(place, name, endpoints.PKI, {**ALLOWED, **settings}, *groups)
        yield Imaged(host, container)
    finally:
        remove(f"name=^{PROJECT}-endpoint-{name}$")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Return the endpoint beside a host with plain QEMU."""
    host, units = hosts("images")[PLAIN], " ".join(f"qemu-vm@{vm}" for vm in VMS)
    for vm, vnc in VMS.items():
        host.check_output(f"echo VNC={vnc} >/etc/test-vms/{vm}.env")
    settings = {"inventory_hostname": PLAIN, "novnc_vms": TYPED}
    try:
        host.check_output(f"systemctl start {units}")
        with imaged(tmp_path_factory.mktemp("plain"), PLAIN, settings) as on:
            wait_well([on.container])
            yield Endpoint(on, variables("images")[PLAIN]["ansible_host"])
    finally:
        host.check_output(f"systemctl stop {units}")


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Return the endpoint beside a host with libvirt, and domains of every kind."""
    settings = {"inventory_hostname": LIBVIRT}
    with (
        imaged(tmp_path_factory.mktemp("libvirt"), LIBVIRT, settings) as on,
        endpoints.domains(on),
    ):
        wait_well([on.container])
        yield Endpoint(on, variables("images")[LIBVIRT]["ansible_host"])


certificate = endpoints.certificate


@pytest.fixture(scope="module")
def hypervisors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Imaged]]:
    """Return the hypervisors of the gateway's fleet, with its VMs."""
    place = tmp_path_factory.mktemp
    with (
        imaged(place("kvm17"), PLACES["kvm17"], {"inventory_hostname": "kvm17"}) as one,
        imaged(place("kvm18"), PLACES["kvm18"], {"inventory_hostname": "kvm18"}) as other,
    ):
        found = {"kvm17": one, "kvm18": other}
        with gateways.fleet(found):
            wait_well([host.container for host in found.values()])
            yield found


@pytest.fixture(scope="module")
def gateway(
    hypervisors: dict[str, Imaged], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Imaged]:
    """Return the gateway; written for it is what the inventory of the scenario ``gateway`` has."""
    scenario = ROOT / "molecule" / "gateway" / "inventory" / "hosts.yml"
    written = yaml.safe_load(scenario.read_text(encoding="utf-8"))["novnc_gateways"]["vars"]
    fleet = {
        name: {"ansible_host": variables("images")[host]["ansible_host"]}
        for name, host in PLACES.items()
    }
    settings = {
        **written,
        "novnc_gateway_names": [ADDRESS, "gw2.example.test"],
        "novnc_hypervisors": {"hosts": fleet},
    }
    pki = Path(CA).parent
    Authority(pki).issue([Request.of("server", "gw4", [ADDRESS])])
    files = {
        "tls.crt": pki / "servers" / "gw4.crt",
        "tls.key": pki / "servers" / "gw4.key",
        "client.crt": endpoints.PKI / "gateway.crt",
        "client.key": endpoints.PKI / "gateway.key",
        "ca.crt": endpoints.PKI / "ca.crt",
    }
    place = tmp_path_factory.mktemp("gateway")
    given(place, files, ("gateway.yml", settings))
    try:
        name = start(
            "gateway-as-host",
            "gateway",
            *("--network", "novnc-fleet", "--ip", ADDRESS),
            *("-v", f"{place}/gateway.yml:/etc/novnc-fleet/gateway.yml:ro"),
            *("-v", f"{place}/certificates:/etc/novnc-fleet/gateway:ro"),
            environ={},
        )
        wait_well([name])
        yield Imaged(testinfra.get_host(f"docker://{name}"), name)
    finally:
        remove(f"name=^{PROJECT}-gateway-as-host$")


@pytest.fixture(scope="module")
def cookies(gateway: Imaged) -> dict[str, str]:
    """Return a log-in of everybody's, once all VMs are known to the gateway."""
    assert gateway
    return gateways.log_ins()
