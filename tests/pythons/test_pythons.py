"""What runs on hypervisors runs on every Python that they may have.

Nothing is played: on each Python, under its distribution's systemd, our modules
make consoles out of the role's own units, and visitors reach real VMs through them.
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError
from ansible_collections.novnc.fleet.plugins.module_utils.page import fetch_page
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.pythons.conftest import COMMAND, NOVNC, VMS, library
from tests.pythons.machine import PROJECT, Machine

Consoles = dict[str, dict[str, Any]]


def origin(console: dict[str, Any]) -> str:
    """Return what a browser sends as Origin from a console's own page."""
    parts = urlsplit(console["url"])
    return f"{parts.scheme}://{parts.netloc}"


def test_everything_compiles_without_a_warning(machine: Machine) -> None:
    roles = [f"{PROJECT}/roles/{role}/files" for role in ("novnc_console", "novnc_endpoint")]
    sources = [f"{PROJECT}/plugins", *roles]
    compile_all = ["-W", "error", "-m", "compileall", "-q", "-f", *sources]
    machine.run("env", "PYTHONPYCACHEPREFIX=/tmp/compiled", machine.python, *compile_all)


def test_the_host_tells_about_itself(machine: Machine) -> None:
    info = machine.module("console_host_info", groups=["root", "nobody-has-this"])
    assert info["default_ipv4"] == machine.address
    assert machine.address in info["addresses"]
    assert info["missing_groups"] == ["nobody-has-this"]
    assert info["libvirt"] is False


def test_the_host_tells_its_vms(machine: Machine, consoles: Consoles) -> None:
    found = machine.module("vm_info", host=machine.name)
    assert {vm["name"]: vm["state"] for vm in found["vms"]} == dict.fromkeys(consoles, "running")
    assert found["libvirt"] is False


@pytest.mark.parametrize("vm", VMS)
def test_a_visitor_reaches_the_vm(consoles: Consoles, vm: str) -> None:
    console = consoles[vm]
    with open_console(console["websocket"], origin=origin(console), timeout=30) as stream:
        assert RfbClient(stream).handshake().name == f"QEMU ({vm})"


@pytest.mark.parametrize("vm", VMS)
def test_the_page_is_served(consoles: Consoles, vm: str) -> None:
    url = consoles[vm]["url"].partition("#")[0]
    fetch_page(url, Deadline(30))


@pytest.mark.parametrize("vm", VMS)
def test_a_foreign_page_is_refused(consoles: Consoles, vm: str) -> None:
    with pytest.raises(HopError) as refusal:
        open_console(consoles[vm]["websocket"], origin="http://evil.example", timeout=30)
    assert refusal.value.http_status == http.client.FORBIDDEN


@pytest.mark.parametrize("vm", VMS)
def test_visitors_are_forks(machine: Machine, consoles: Consoles, vm: str) -> None:
    """Two visitors are two more processes of the very command line, and no fork server's."""
    address = consoles[vm]["websocket"]
    with open_console(address, timeout=30) as one, open_console(address, timeout=30) as two:
        RfbClient(one).handshake()
        RfbClient(two).handshake()
        service = f"novnc-console@{vm}.service"
        main = machine.run("systemctl", "show", "--property=MainPID", "--value", service).strip()
        family = machine.run("sh", "-c", PROCESSES, "sh", main).splitlines()
        environment = machine.run("cat", f"/proc/{main}/environ").split("\0")
    command = f"{machine.python} -I -S /usr/local/lib/novnc-fleet/console_proxy.py"
    assert family == [command] * 3
    assert f"NOVNC_CONSOLE_LIBRARY={library(VMS[vm])}" in environment


@pytest.mark.parametrize("vm", VMS)
def test_a_version_is_tried(machine: Machine, vm: str) -> None:
    proxy = "/usr/local/lib/novnc-fleet/console_proxy.py"
    options: dict[str, Any] = {"proxy": proxy, "python": machine.python}
    options["web_root"] = f"/opt/novnc/{NOVNC}"
    machine.module("console_trial", **options, library=library(VMS[vm]))
    with pytest.raises(AssertionError, match="a console does not work with"):
        machine.module("console_trial", **options, library="/opt/novnc")


PROCESSES = """
for pid in $(cat /proc/$1/task/$1/children) $1; do
  tr '\\0' ' ' </proc/$pid/cmdline | sed 's/ $//'
  echo
done
"""
"""Prints the command lines of a process and its children."""


def test_the_probe_tells_names(machine: Machine, consoles: Consoles) -> None:
    found = machine.module(
        "console_probe",
        targets=[
            {
                "name": vm,
                "url": console["websocket"],
                "origin": origin(console),
                "page": console["url"].partition("#")[0],
                "expect_name": console["expect_name"],
                "strict": True,
            }
            for vm, console in consoles.items()
        ],
        frame=True,
    )
    assert [one["desktop_name"] for one in found["results"]] == [f"QEMU ({vm})" for vm in VMS]


def test_the_command_lists_diagnoses_and_ends(machine: Machine, consoles: Consoles) -> None:
    def told(*words: str) -> Any:
        return json.loads(machine.run(COMMAND, *words, "--json"))

    urls = {said["vm"]: [one["url"] for one in said["direct"]] for said in told("list")}
    assert urls == {vm: [console["url"]] for vm, console in consoles.items()}
    for vm, console in consoles.items():
        assert told("doctor", vm)["fault"] is None
        with open_console(console["websocket"], timeout=30) as stream:
            RfbClient(stream).handshake()
            assert [one["vm"] for one in told("sessions")] == [vm]
            assert [one["vm"] for one in told("kill", vm)] == [vm]
            with pytest.raises(HopError):
                stream.receive()


def test_consoles_go_and_come_back(machine: Machine, plan: list[dict[str, Any]]) -> None:
    made = machine.module("console_units", consoles=plan)
    again = machine.module("console_units", consoles=plan)
    foreseen = machine.module("console_units", state="absent", check_mode=True)
    gone = machine.module("console_units", state="absent")
    back = machine.module("console_units", consoles=plan)
    assert made["removed"] == again["added"] == []
    assert again["changed"] is False
    assert foreseen["removed"] == gone["removed"] == back["added"] == sorted(VMS)
