"""The endpoint's image beside libvirt, as on a hypervisor where it takes the role's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.harness.containers import (
    complaint,
    run,
    start_endpoint,
    users_for_libvirt,
    wait_well,
)
from tests.harness.fleet import background, hosts, variables
from tests.harness.waiting import wait_until
from tests.libvirt.domains import define, forget

HOST = "kvm20"
PORT = 16920
"""The usual one is the host's own endpoint's, and the next its gateway's for figures."""
SETTINGS = {
    "inventory_hostname": HOST,
    "novnc_endpoint_allowed_names": ["gateway"],
    "novnc_endpoint_port": PORT,
}
DOMAINS = {
    "auto": "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>",
    "socket": "<graphics type='vnc'><listen type='socket'/></graphics>",
}


@pytest.fixture(scope="module")
def host() -> Iterator[Any]:
    """Return a hypervisor with domains, and without that user."""
    found = hosts()[HOST]
    for name, graphics in DOMAINS.items():
        define(found, name, graphics)
        found.check_output(f"virsh start {name}")
    yield found
    for name in DOMAINS:
        forget(found, name)
    found.run("userdel novnc")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the endpoint's and the gateway's certificates are."""
    made = tmp_path_factory.mktemp("pki")
    address = variables()[HOST]["ansible_host"]
    requests = [Request.of("server", HOST, [address]), Request.of("client", "gateway")]
    Authority(made).issue(requests)
    return made


@pytest.fixture(scope="module")
def endpoint(host: Any, pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the name of the endpoint's container."""
    group = host.check_output("stat -c %g /var/lib/libvirt/qemu")
    name = start_endpoint(tmp_path_factory.mktemp("endpoint"), HOST, pki, SETTINGS, group)
    yield name
    run("docker", "rm", "--force", "--volumes", name)


def test_without_the_user_it_says_what_is_missing(endpoint: str) -> None:
    sentence = "make a user and a group of that number"
    wait_until(lambda: sentence in complaint(endpoint), 60, "the sentence")


@pytest.mark.parametrize("vm", [*DOMAINS, "web01"])
def test_it_shows_domains_and_plain_qemu(host: Any, pki: Path, endpoint: str, vm: str) -> None:
    for command in users_for_libvirt():
        host.run(command)
    wait_well([endpoint])
    with open_console(
        f"wss://{variables()[HOST]['ansible_host']}:{PORT}/vm/{vm}/websockify",
        ca=str(pki / "ca.crt"),
        identity=(str(pki / "gateway.crt"), str(pki / "gateway.key")),
        headers={"X-Console-User": "kim", "X-Console-Mode": "control"},
        timeout=30,
    ) as stream:
        client = RfbClient(stream)
        assert client.handshake().name == f"QEMU ({vm})"
        while (seen := background(client)) == (0, 0, 0):
            pass
        assert seen == guest_image.colour(vm)
