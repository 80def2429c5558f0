"""The images that people use, running: the fleet of ``docker/compose.yml``, and consoles beside it.

Usage: ``python -m tests.harness.containers up|down``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.harness.project import CACHE, ROOT

sys.path.insert(0, str(ROOT / "playbooks" / "collections"))

from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

PKI = CACHE / "demo" / "pki"
PROJECT = "novnc-fleet-containers"
LABEL = f"{PROJECT}=readme"
"""Bears what has been started as docker/README.md says, by names of its own."""
NETWORK = "198.19.94"
PORT = 8494
VERSION: str = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
IMAGES = ("console", "endpoint", "gateway", "qemu-vm")
PORTAL = f"https://localhost:{PORT}"
SHARED = CACHE / "containers"
"""Sockets and certificates that containers and tests share."""
USER = 65532
HARDENED = (
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--user", str(USER), "--pids-limit", "256", "--memory", "512m"),
)
TCP_VM, TCP_CONSOLE, TLS_CONSOLE = (f"{NETWORK}.{number}" for number in (20, 21, 22))
_READY = 60.0


def run(*command: str | Path, **options: Any) -> str:
    """Return what a command prints. Raises SystemExit with what it complains about."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **options,
    )
    if done.returncode:
        words = " ".join(map(str, command))
        raise SystemExit(f"{words} failed:\n{done.stdout}{done.stderr}")
    return str(done.stdout)


def compose(*words: str, **more: str) -> str:
    """Return what compose, of whichever version, prints; ``more`` is for its environment."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    command = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
    settings = {
        "COMPOSE_PROJECT_NAME": PROJECT,
        "NOVNC_FLEET_NETWORK": NETWORK,
        "NOVNC_FLEET_PORT": str(PORT),
        "NOVNC_FLEET_VERSION": VERSION,
    }
    return run(*command, "-f", "docker/compose.yml", *words, env={**os.environ, **settings, **more})


def image(name: str) -> str:
    """Return the tag of one of the images."""
    return f"novnc-fleet/{name}:{VERSION}"


def name_of(service: str) -> str:
    """Return the name of the container of one of compose's services, whatever its separator."""
    found = compose("ps", "-q", service).split()
    return run("docker", "inspect", "-f", "{{.Name}}", *found).strip().lstrip("/")


def start(name: str, kind: str, *options: str, environ: dict[str, str]) -> str:
    """Start a container, hardened; return its name."""
    words = [word for item in environ.items() for word in ("--env", "=".join(item))]
    full = f"{PROJECT}-{name}"
    run("docker", "run", "-d", "--name", full, *HARDENED, *options, *words, image(kind))
    return full


def given(place: Path, files: Mapping[str, Path], written: tuple[str, Mapping[str, Any]]) -> None:
    """Lay down what a container is to be given, readable by its user.

    Args:
        place: A directory of the tests' own.
        files: Certificates and keys, by the names that they get in ``place/certificates``.
        written: Name and content of its one file, in ``place``.
    """
    certificates, settings = place / "certificates", place / written[0]
    certificates.mkdir()
    for name, source in files.items():
        shutil.copy(source, certificates / name)
        shutil.chown(certificates / name, USER)
    settings.write_text(json.dumps(written[1]))
    for path in (place, certificates, settings):
        path.chmod(0o755)


def start_endpoint(
    place: Path, host: str, pki: Path, settings: Mapping[str, Any], *groups: str
) -> str:
    """Start an endpoint beside a test host, which it sees as it would docker's own.

    Args:
        place: A directory of the tests' own, for what is mounted.
        host: Name of the test host.
        pki: Where the host's certificate is, in ``servers``, and its authority's.
        settings: What is written in its one file.
        groups: Groups that it gets, by number.

    Returns:
        The name of the container.
    """
    server = pki / "servers" / host
    files = {
        "ca.crt": pki / "ca.crt",
        "tls.crt": server.with_suffix(".crt"),
        "tls.key": server.with_suffix(".key"),
    }
    given(place, files, ("endpoint.yml", settings))
    beside = f"container:novnc-fleet-{host}"
    return start(
        f"endpoint-{host}",
        "endpoint",
        *(word for group in groups for word in ("--group-add", group)),
        *("--network", beside, "--pid", beside, "--volumes-from", f"novnc-fleet-{host}:ro"),
        *("-v", f"{place}/endpoint.yml:/etc/novnc-fleet/endpoint.yml:ro"),
        *("-v", f"{place}/certificates:/etc/novnc-fleet/endpoint:ro"),
        environ={},
    )


def users_for_libvirt() -> list[str]:
    """Return the commands that docker/README.md has for making the user whom libvirt answers."""
    text = (ROOT / "docker" / "README.md").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith(("groupadd ", "useradd "))]


def attempt(kind: str, *options: str, environ: dict[str, str]) -> tuple[int, str, str]:
    """Return status, output and complaints of a container, hardened, that is to end by itself."""
    words = [word for item in environ.items() for word in ("--env", "=".join(item))]
    command = ["docker", "run", "--rm", "--network", "none", *HARDENED, *options, *words]
    done = subprocess.run(
        [*command, image(kind)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def inspected(what: str, form: str) -> Any:
    """Return what docker says of a container or an image, read as JSON."""
    return json.loads(run("docker", "inspect", "-f", f"{{{{json {form}}}}}", what))


def logs(name: str) -> str:
    """Return all that a container has said."""
    return run("sh", "-c", f"docker logs {name} 2>&1")


def checks(name: str) -> set[str]:
    """Return when a container's health was asked for last, five times at most."""
    return {one["Start"] for one in inspected(name, ".State.Health.Log")}


def health(name: str) -> str:
    """Return what a container's health is said to be."""
    return str(inspected(name, ".State.Health.Status"))


def complaint(name: str) -> str:
    """Return what a container's own check misses now; nothing where it is well."""
    check = inspected(name, ".Config.Healthcheck")
    try:
        run("timeout", str(check["Timeout"] // 10**9), "docker", "exec", name, *check["Test"][1:])
    except SystemExit as error:
        return str(error)
    return ""


def wait_well(names: Sequence[str]) -> None:
    """Wait until containers are well. Raises SystemExit.

    Docker itself asks them every half minute. Made to ask each second it took half a core, and
    whatever ran beside it as much longer.
    """
    deadline = time.monotonic() + _READY
    for name in names:
        while found := complaint(name):
            if time.monotonic() > deadline:
                raise SystemExit(f"{name} is not well: {found}\n{logs(name)}")
            time.sleep(0.2)


def up() -> None:
    """Start the fleet, and consoles of three kinds: by sockets alone, by TCP, and by TLS."""
    compose("config", "-q")
    compose("up", "-d")
    shutil.rmtree(SHARED, ignore_errors=True)
    # The containers' user is nobody here.
    SHARED.mkdir(parents=True)
    SHARED.chmod(0o777)
    Authority(PKI).issue([Request("servers/container", "server", (TLS_CONSOLE,))])
    for suffix in ("crt", "key"):
        shutil.copy(PKI / "servers" / f"container.{suffix}", SHARED / f"tls.{suffix}")
        (SHARED / f"tls.{suffix}").chmod(0o644)
    shared, network = f"{SHARED}:/shared", f"{PROJECT}_fleet"
    vms = f"{PROJECT}_vms:/run/novnc-vms"
    names = [
        start(
            *("tcp-vm", "qemu-vm", "--network", network, "--ip", TCP_VM),
            environ={"VM_NAME": "mail01", "VNC": "0.0.0.0:5901"},
        ),
        start(
            *("sockets", "console", "--network", "none", "-v", shared, "-v", vms),
            environ={"VNC_TARGET": "unix:/run/novnc-vms/web01.vnc", "LISTEN": "unix:/shared/web01"},
        ),
        start(
            # Tests wait for docker's word on this one.
            *("tcp", "console", "--health-interval", "5s"),
            *("--network", network, "--ip", TCP_CONSOLE),
            environ={"VNC_TARGET": f"{PROJECT}-tcp-vm:5901"},
        ),
        start(
            *("tls", "console", "--network", network, "--ip", TLS_CONSOLE),
            *("-v", f"{shared}:ro", "-v", vms),
            environ={
                "VNC_TARGET": "unix:/run/novnc-vms/db01.vnc",
                "LISTEN": "0.0.0.0:6443",
                "TLS_CERT_FILE": "/shared/tls.crt",
                "TLS_KEY_FILE": "/shared/tls.key",
            },
        ),
    ]
    wait_well([*names, *map(name_of, ("web01", "db01", "endpoint", "gateway"))])


def password() -> str:
    """Return the password that the fleet's setup has told."""
    found = re.findall(r"with the password (\S+)", compose("logs", "--no-color", "setup"))
    return str(found[0])


def remove(which: str) -> None:
    """Remove the containers, and then the networks, that a filter of docker's picks."""
    for kind, listing, removal in (
        ("container", ("ls", "--all"), ("rm", "--force", "--volumes")),
        ("network", ("ls",), ("rm",)),
    ):
        if found := run("docker", kind, *listing, "--quiet", "--filter", which).split():
            run("docker", kind, *removal, *found)


def down() -> None:
    """Remove all of it, and nothing else."""
    remove(f"name=^{PROJECT}-")
    remove(f"label={LABEL}")
    compose("down", "--volumes")
    shutil.rmtree(SHARED, ignore_errors=True)


if __name__ == "__main__":
    {"up": up, "down": down}[sys.argv[1]]()
