"""The gateway, people with a log-in, and a fleet whose VMs the rules tell apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.gateway import visitor
from tests.harness.fleet import hosts
from tests.harness.waiting import wait_until
from tests.libvirt.domains import define, forget

AUTO = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>"
FLEET = {
    "kvm17": {"db01": True, "web01": True, "mixed01": True, "db09": False},
    "kvm18": {"db02": True, "web02": True, "DB03": True},
}
"""The VMs of each host, and whether they run."""
PEOPLE = ("ada", "dora", "wim", "noor")
VMS = sorted(vm for vms in FLEET.values() for vm in vms)
MAY = {
    "ada": dict.fromkeys(VMS, "control"),
    "dora": {
        **dict.fromkeys(("db01", "db02", "db09"), "control"),
        **dict.fromkeys(("web01", "mixed01"), "watch"),
    },
    "wim": {**dict.fromkeys(("db01", "db02", "db09"), "watch"), "mixed01": "control"},
    "noor": {"mixed01": "watch"},
}
"""What the inventory's rules come to."""
CONTROL = ("/run/novnc-directory-control/control.sock", "/run/novnc-gateway/control.sock")
"""Where a directory is asked that a host has, and one in a container."""


@pytest.fixture(scope="session")
def gateway() -> Any:
    """Return the gateway's host."""
    return hosts("novnc_gateways")["gw2"]


@pytest.fixture(scope="session")
def hypervisors() -> Iterator[dict[str, Any]]:
    """Return the hypervisors, with the fleet's VMs."""
    found = hosts()
    with fleet(found):
        yield found


@contextmanager
def fleet(hypervisors: Mapping[str, Any]) -> Iterator[None]:
    """Have the fleet's VMs for a while."""
    try:
        for host, vms in FLEET.items():
            for vm, runs in vms.items():
                define(hypervisors[host], vm, AUTO)
                if runs:
                    hypervisors[host].check_output(f"virsh start {vm}")
        yield
    finally:
        for host, vms in FLEET.items():
            for vm in vms:
                forget(hypervisors[host], vm)


@pytest.fixture(scope="session")
def cookies(hypervisors: dict[str, Any]) -> dict[str, str]:
    """Return a log-in of everybody's, once all VMs are known to the gateway."""
    assert hypervisors
    return log_ins()


def log_ins() -> dict[str, str]:
    """Return a log-in of everybody's, once all VMs are known to the gateway."""
    found = {name: visitor.cookie_of(visitor.log_in(name)) for name in PEOPLE}
    assert all(found.values())
    wait_until(lambda: set(visitor.shown(found["ada"])) >= set(VMS), 60, "all VMs")
    wait_until(lambda: visitor.shown(found["ada"])["web02"]["state"] == "running", 60, "web02")
    return found


def journal(host: Any, unit: str = "novnc-directory") -> list[dict[str, Any]]:
    """Return what the directory, or an endpoint, has written down."""
    lines = host.check_output(f"journalctl -u {unit} -o cat").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def sessions(gateway: Any) -> list[dict[str, Any]]:
    """Return the consoles that the directory knows to be open."""
    found: list[dict[str, Any]] = json.loads(
        gateway.check_output(
            'python3 -c "import http.client as h, os, socket as s;'
            f"(path,) = filter(os.path.exists, {CONTROL});"
            "c = h.HTTPConnection('x'); c.sock = s.socket(s.AF_UNIX); c.sock.connect(path);"
            "c.request('GET', '/sessions'); print(c.getresponse().read().decode())\""
        )
    )
    return found


def metrics(gateway: Any) -> dict[str, float]:
    """Return the directory's metrics, by their names with labels, without what all begin with."""
    text = gateway.check_output(
        "python3 -c 'import urllib.request as u;"
        'print(u.urlopen("http://127.0.0.1:16901/metrics").read().decode())\''
    )
    lines = [line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#"]
    return {name.removeprefix("novnc_gateway_"): float(value) for name, _, value in lines}
