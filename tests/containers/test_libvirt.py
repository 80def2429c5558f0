"""The endpoint's image beside libvirt, as on a hypervisor where it takes the role's place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.harness.containers import health, inspected, run, start, wait_healthy
from tests.harness.fleet import background, hosts, variables
from tests.harness.project import ROOT
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


def user() -> list[str]:
    """Return the commands that docker/README.md has for making the host's user."""
    text = (ROOT / "docker" / "README.md").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith(("groupadd ", "useradd "))]


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
def endpoint(host: Any, pki: Path) -> Iterator[str]:
    """Return the name of the endpoint's container, which sees the host as docker's own does."""
    given = pki / "endpoint"
    given.mkdir()
    for source, target in (
        (pki / "ca.crt", "ca.crt"),
        (pki / "servers" / f"{HOST}.crt", "tls.crt"),
        (pki / "servers" / f"{HOST}.key", "tls.key"),
    ):
        shutil.copy(source, given / target)
        shutil.chown(given / target, 65532)
    written = pki / "endpoint.yml"
    written.write_text(json.dumps(SETTINGS))
    for path in (pki, given, written):
        path.chmod(0o755)
    beside = f"container:novnc-fleet-{HOST}"
    group = host.check_output("stat -c %g /var/lib/libvirt/qemu")
    name = start(
        *("libvirt", "endpoint", "--health-interval", "1s", "--group-add", group),
        *("--network", beside, "--pid", beside, "--volumes-from", f"novnc-fleet-{HOST}:ro"),
        *("-v", f"{written}:/etc/novnc-fleet/endpoint.yml:ro"),
        *("-v", f"{given}:/etc/novnc-fleet/endpoint:ro"),
        environ={},
    )
    yield name
    run("docker", "rm", "--force", "--volumes", name)


def test_without_the_user_it_says_what_is_missing(endpoint: str) -> None:
    def said() -> str:
        return " ".join(str(one["Output"]) for one in inspected(endpoint, ".State.Health.Log"))

    wait_until(lambda: "make a user and a group of that number" in said(), 60, "the sentence")
    assert health(endpoint) != "healthy"


@pytest.mark.parametrize("vm", [*DOMAINS, "web01"])
def test_it_shows_domains_and_plain_qemu(host: Any, pki: Path, endpoint: str, vm: str) -> None:
    for command in user():
        host.run(command)
    wait_healthy([endpoint])
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
