"""Every VM of the demo, typed or found, is listed and seen through its host's endpoint."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.harness.fleet import PKI, background, hosts, open_as_gateway, variables
from tests.harness.project import BIN, ENV, ROOT
from tests.integration.conftest import ALL

VMS = {
    (host, vm): kind
    for host, said in variables().items()
    for vm, kind in {
        **dict.fromkeys(said.get("test_host_vms", ()), "plain"),
        **said.get("test_host_domains", {}),
    }.items()
}
"""What kind each VM is of, by its host and its name."""

Listed = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def listed() -> Listed:
    """Return what `make -s consoles` says, by host and VM; it wakes no console."""
    for console in ALL:
        console.on.check_output(f"systemctl stop {console.service}")
    done = subprocess.run(
        [BIN / "python", "-m", "tests.harness.demo", "consoles"],
        cwd=ROOT,
        env=ENV,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert not any(console.main_pid() for console in ALL)
    entries = json.loads(done.stdout)
    found = {(one["host"], one["vm"]): one for one in entries}
    assert len(found) == len(entries)
    return found


def test_every_vm_is_listed_once_with_its_state(listed: Listed) -> None:
    states = {key: "off" if kind == "stopped" else "running" for key, kind in VMS.items()}
    assert {key: one["state"] for key, one in listed.items()} == states


def test_typed_vms_have_their_direct_console_beside(listed: Listed) -> None:
    direct = {key for key, one in listed.items() if "url" in one}
    assert direct == {(console.host, console.vm) for console in ALL}
    for console in ALL:
        entry = listed[console.host, console.vm]
        said = {key: entry[key] for key in ("listen", "vnc", "url", "websocket")}
        assert said == {key: getattr(console, key) for key in said}


def test_a_domain_is_listed_under_its_own_uuid(listed: Listed) -> None:
    uuid = hosts()["kvm2"].check_output("virsh domuuid 'zwei Wörter'")
    entry = listed["kvm2", "zwei Wörter"]
    assert entry["uuid"] == uuid
    assert entry["endpoint"].endswith(f":16900/vm/{uuid}/websockify")


@pytest.mark.parametrize(
    "key",
    [key for key, kind in VMS.items() if kind not in ("stopped", "password")],
    ids="-".join,
)
def test_it_shows_its_own_vm(listed: Listed, key: tuple[str, str]) -> None:
    with open_as_gateway(listed[key]["endpoint"], PKI) as stream:
        client = RfbClient(stream)
        assert client.handshake().name == f"QEMU ({key[1]})"
        assert background(client) == guest_image.colour(key[1])


def test_a_vnc_password_is_still_asked_for(listed: Listed) -> None:
    with open_as_gateway(listed["kvm2", "vault01"]["endpoint"], PKI) as stream:
        seen = RfbClient(stream).handshake()
    assert seen.security_names == ["vnc"]
    assert seen.name is None


def test_a_vm_that_is_off_is_said_to_be(listed: Listed) -> None:
    with (
        open_as_gateway(listed["kvm2", "old01"]["endpoint"], PKI) as stream,
        pytest.raises(HopError, match="old01 is switched off"),
    ):
        RfbClient(stream).handshake()


def test_nothing_direct_is_where_it_is_off() -> None:
    host = hosts()["kvm2"]
    assert host.check_output("systemctl list-units --all --no-legend 'novnc-console*'") == ""
    assert not host.package("novnc").is_installed
    assert not host.package("websockify").is_installed
