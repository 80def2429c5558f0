"""What the images are made of, and how they run."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.harness.containers import (
    IMAGES,
    PROJECT,
    VERSION,
    image,
    inspected,
    name_of,
    run,
)
from tests.harness.fleet import hosts

MEGABYTE = 1_000_000
SIZES = {"console": 70, "gateway": 90}
"""Megabytes above the base, at most."""
BASE = "debian:trixie-slim"
SOURCES = "find {} -type f ! -name '*.pyc' ! -name image.json -exec sha256sum {{}} + | sort -k2"
"""Files as the roles have brought them; image.json is the image's own."""


def layers(name: str) -> list[str]:
    found: list[str] = inspected(name, ".RootFS.Layers")
    return found


def inside(name: str, script: str) -> str:
    """Return what a script prints in a container of an image."""
    command = ("docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", image(name))
    return run(*command, "-euc", script)


@pytest.mark.parametrize("name", IMAGES)
def test_it_stands_on_the_base(name: str) -> None:
    base = layers(BASE)
    assert layers(image(name))[: len(base)] == base


@pytest.mark.parametrize(("name", "megabytes"), SIZES.items())
def test_it_is_small(name: str, megabytes: int) -> None:
    added = inspected(image(name), ".Size") - inspected(BASE, ".Size")
    assert 0 < added <= megabytes * MEGABYTE


@pytest.mark.parametrize("name", IMAGES)
def test_nothing_of_its_making_is_left(name: str) -> None:
    script = (
        "for c in ansible ansible-playbook gcc cc make node nasm pip; do command -v $c || :; done"
    )
    assert inside(name, script) == ""
    assert (
        inside(name, "ls -A /var/lib/apt/lists /src /tmp 2>/dev/null | grep -v : || :").split()
        == []
    )


@pytest.mark.parametrize("name", IMAGES)
def test_it_says_what_it_is(name: str) -> None:
    labels = inspected(image(name), ".Config.Labels")
    prefix = "org.opencontainers.image."
    said = {key.removeprefix(prefix): value for key, value in labels.items() if prefix in key}
    assert said["title"] == f"novnc-fleet {name}"
    assert said["version"] == VERSION
    assert said["licenses"] == "Apache-2.0"
    assert said["source"].startswith("https://")
    assert said["description"]


@pytest.mark.parametrize("name", IMAGES)
def test_it_runs_as_nobody_and_is_looked_after(name: str) -> None:
    config: dict[str, Any] = inspected(image(name), ".Config")
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", config["User"])
    assert config["Entrypoint"][0] == "python3"
    assert config["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize("service", ["web01", "endpoint", "gateway"])
def test_the_fleet_runs_without_any_right(service: str) -> None:
    name = name_of(service)
    status = run("docker", "exec", name, "cat", "/proc/1/status")
    assert re.search(r"^CapBnd:\t0+$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^Uid:\t65532\t", status, re.MULTILINE)
    assert inspected(name, ".HostConfig.ReadonlyRootfs") is True


@pytest.mark.parametrize("name", ["tcp", "tcp-vm", "tls"])
def test_it_ends_when_told_to(name: str) -> None:
    full = f"{PROJECT}-{name}"
    run("docker", "stop", full)
    try:
        # What has not ended after ten seconds is killed, and ends with 137.
        assert inspected(full, ".State.ExitCode") == 0
    finally:
        run("docker", "start", full)


CODE = {
    "console": (
        "/usr/share/novnc",
        "/usr/lib/python3/dist-packages/websockify",
        "/usr/local/lib/novnc-fleet/console_proxy.py",
    ),
    "endpoint": (
        "/usr/local/lib/novnc-fleet/novnc_endpoint",
        "/usr/local/lib/novnc-fleet/ansible_collections",
    ),
    "gateway": ("/usr/share/novnc", "/usr/local/lib/novnc-directory"),
}
"""Where the code of what people use is, on a host and in the image alike."""


@pytest.mark.parametrize("name", CODE)
def test_it_has_the_same_code_as_a_host_file_by_file(name: str) -> None:
    script = SOURCES.format(" ".join(CODE[name]))
    on_the_host = hosts()["kvm20"].check_output(script).split("\n")
    in_the_image = inside(name, script).strip().split("\n")
    assert len(on_the_host) > 1 or name == "console"
    assert in_the_image == on_the_host


def test_it_runs_the_same_packages_as_a_host() -> None:
    query = "dpkg-query -W -f '${Version}\\n' nginx python3-aiohttp python3-jinja2"
    assert inside("gateway", query).strip() == hosts()["kvm20"].check_output(query)
