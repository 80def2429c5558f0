"""A console never keeps a VM down: libvirt hands out the displays that it would without us."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.harness.fleet import consoles, hosts
from tests.harness.repeats import times
from tests.libvirt.domains import define, forget

ADDRESS = "198.18.90.22"
DOMAINS = ("red", "green", "blue")
RESTARTS = times(20, test=5)


@pytest.fixture(scope="module")
def host() -> Iterator[Any]:
    """Return the host, with domains defined, and none running."""
    found = hosts()["kvm4"]
    auto = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>"
    for name in DOMAINS:
        define(found, name, auto)
    fixed = "<graphics type='vnc' port='5900' autoport='no' listen='0.0.0.0'/>"
    define(found, "fixed", fixed)
    yield found
    for name in (*DOMAINS, "fixed"):
        forget(found, name)


def displays_over_restarts(host: Any) -> list[str]:
    """Restart domains in random order, the same each time; return the displays after each."""
    order = random.Random(1)  # noqa: S311 (a shuffle, no secret)
    host.check_output("; ".join(f"virsh start {name}" for name in DOMAINS))
    seen = []
    for _ in range(RESTARTS):
        chosen = order.sample(DOMAINS, order.randint(1, len(DOMAINS)))
        commands = [f"virsh destroy {name}" for name in chosen]
        order.shuffle(chosen)
        commands += [f"virsh start {name}" for name in chosen]
        host.check_output(" && ".join(commands))
        seen.append(host.check_output("; ".join(f"virsh domdisplay {name}" for name in DOMAINS)))
    host.check_output(" && ".join(f"virsh destroy {name}" for name in DOMAINS))
    return seen


def test_consoles_stand_beside_libvirts_ports() -> None:
    listeners = {console.vm: console.listen for console in consoles()}
    assert listeners == {
        "red": f"{ADDRESS}:16000",
        "green": f"{ADDRESS}:16001",
        "blue": f"{ADDRESS}:16002",
    }


def test_libvirt_hands_out_the_same_displays_with_and_without_consoles(host: Any) -> None:
    with_consoles = displays_over_restarts(host)
    host.check_output("systemctl stop novnc-consoles.target")
    try:
        assert "16000" not in host.check_output("ss -Htln")
        assert displays_over_restarts(host) == with_consoles
    finally:
        units = " ".join(f"novnc-console@{name}.socket" for name in DOMAINS)
        host.check_output(f"systemctl start novnc-consoles.target {units}")
    assert "127.0.0.1:2" in "".join(with_consoles)


def test_a_console_shows_a_libvirt_domain(host: Any) -> None:
    host.check_output("virsh start red")
    try:
        with open_console(f"ws://{ADDRESS}:16000/websockify", timeout=20) as stream:
            assert RfbClient(stream).handshake().name == "QEMU (red)"
    finally:
        host.check_output("virsh destroy red")


def test_a_vm_on_all_addresses_starts_beside_its_console(host: Any) -> None:
    host.check_output("virsh start fixed")
    try:
        assert "0.0.0.0:5900" in host.check_output("ss -Htln")
        assert f"{ADDRESS}:16000" in host.check_output("ss -Htln")
    finally:
        host.check_output("virsh destroy fixed")
