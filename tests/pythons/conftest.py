"""What the tests of this directory stand on: VMs, and a machine for each Python."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.novnc.fleet.plugins.filter.consoles import consoles as make_plan
from ansible_collections.novnc.fleet.plugins.plugin_utils.sources import sources_of

from tests.harness import releases
from tests.harness.project import ROOT
from tests.pythons.machine import Machine, started

ROLE = ROOT / "roles" / "novnc_console"

COMMAND = "/usr/local/bin/novnc-console"

IMAGES = {
    "3.9": "novnc-fleet/python:3.9",
    "3.10": "novnc-fleet/python:3.10",
    "3.11": "novnc-fleet/test-host:bookworm",
    "3.12": "novnc-fleet/python:3.12",
    "3.13": "novnc-fleet/test-host:trixie",
    "3.14": "novnc-fleet/python:3.14",
}
"""Each Python that hypervisors may have, and an image with it."""

OPTIONAL = ("3.10", "3.12")
"""Those that scripts/setup does without, in a line of its own, where Ubuntu cannot be had."""


def there() -> list[str]:
    """Return the Pythons to test: all but the optional ones without an image."""
    listed = subprocess.run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [one for one, image in IMAGES.items() if one not in OPTIONAL or image in listed]


NOVNC = "1.6.0"

VMS = {f"websockify-{version}": version for version in releases.WHEELS}
"""The VMs, and the version of websockify that the console of each is to run on."""


RELEASES = "/srv/releases"
"""Where a machine has the releases."""


def library(version: str) -> str:
    """Return where a machine has a version of websockify."""
    return f"/opt/websockify/{version}"


@pytest.fixture(scope="session")
def targets() -> Iterator[dict[str, str]]:
    """Start the VMs; return the address of each one's VNC server."""
    with started("py-test-vms", IMAGES["3.13"], python="/usr/bin/python3") as host:
        for display, vm in enumerate(VMS):
            host.write(f"/etc/test-vms/{vm}.env", f"VNC={host.address}:{display}\n")
        host.run("systemctl", "start", *(f"qemu-vm@{vm}" for vm in VMS))
        yield {vm: f"{host.address}:{5900 + display}" for display, vm in enumerate(VMS)}


@pytest.fixture(scope="session", params=there())
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Start a machine with a certain Python, and what the roles install on every host."""
    version = request.param
    python = f"/usr/bin/python{version}"
    releases_here = {RELEASES: releases.RELEASES}
    with started(
        f"py-test-{version}", IMAGES[version], python=python, mounts=releases_here
    ) as found:
        install(found)
        yield found


def install_release(machine: Machine, name: str, version: str, path: Path) -> None:
    """Put a release onto a machine, and see that a second time there is nothing to do."""
    options: dict[str, Any] = {
        "name": name,
        "version": version,
        "checksum": releases.checksum(path),
    }
    options |= {"archive": f"{RELEASES}/{path.name}", "python": machine.python}
    for changed in (True, False):
        assert machine.module("program", **options)["changed"] is changed


def install(machine: Machine) -> None:
    """Do what the roles' tasks do, with noVNC and websockify from releases."""
    novnc = releases.archive(NOVNC)
    install_release(machine, "novnc", NOVNC, novnc)
    machine.module("program", name="novnc", version=NOVNC, state="current")
    for version in releases.WHEELS:
        install_release(machine, "websockify", version, releases.wheel(version))
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    proxy = variables["_novnc_console_proxy"]
    machine.write(proxy, (ROLE / "files" / "console_proxy.py").read_text())
    machine.run("mkdir", "--parents", "/etc/novnc-fleet/consoles")
    settings = {
        **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
        "ansible_facts": {"python": {"executable": machine.python}},
        "ansible_managed": "made by the tests",
        "_novnc_console_library": variables["_novnc_console_library"],
        "_novnc_console_proxy": proxy,
        "_novnc_console_tls": False,
        "_novnc_console_version": f"noVNC {NOVNC}",
        "inventory_hostname": machine.name,
        "novnc_settings_root": "/etc/novnc-fleet/novnc",
        "novnc_web_root": "/opt/novnc/current",
        "websockify_python": machine.python,
        "websockify_library": "set for each VM",
    }
    templates = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)  # noqa: S701
    for path in sorted((ROLE / "templates").iterdir()):
        text = templates.from_string(path.read_text()).render(settings)
        command = path.stem == Path(COMMAND).name
        machine.write(COMMAND if command else f"/etc/systemd/system/{path.stem}", text)
    machine.run("chmod", "0755", COMMAND)
    machine.module(
        "python_sources",
        packages=[],
        dest=variables["_novnc_console_library"],
        sources=sources_of([ROLE / "files" / "novnc_console_command"]),
    )
    for vm, version in VMS.items():
        machine.write(
            f"/etc/systemd/system/novnc-console@{vm}.service.d/library.conf",
            f"[Service]\nEnvironment=NOVNC_CONSOLE_LIBRARY={library(version)}\n",
        )


@pytest.fixture(scope="session")
def plan(machine: Machine, targets: dict[str, str]) -> list[dict[str, Any]]:
    """Return the consoles that the planner makes of the VMs, for a host that says how it is."""
    info = machine.module("console_host_info")
    made = make_plan(targets, machine.name, info)
    assert made["faults"] == []
    return list(made["consoles"])


@pytest.fixture(scope="session")
def consoles(machine: Machine, plan: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Make the consoles; return the plan of each by its VM."""
    machine.module("console_units", consoles=plan)
    return {console["vm"]: console for console in plan}
