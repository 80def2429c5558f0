"""docker/README.md: its commands, in the order in which they are read, come to a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import (
    connect_console,
    enter_console,
    parse_console,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline
from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    TcpTarget,
    UnixTarget,
)
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import (
    SALT_BYTES,
    hash_password,
)
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.containers.conftest import Portal
from tests.docs.stage import HASH, PASSWORD
from tests.harness.containers import LABEL, logs, remove, run, wait_well
from tests.harness.fleet import background
from tests.harness.manual import blocks
from tests.harness.project import ROOT
from tests.harness.waiting import wait_until

PAGE = ROOT / "docker" / "README.md"
PORTAL_PORT = 8445
CONTAINERS = ["web01", "web01-console", "web01-socket", "kvm1", "portal"]


def script() -> str:
    """Return all that the page says to write and to run, and labels on what comes of it."""
    said = ["set -euo pipefail"]
    for block in blocks(PAGE):
        if block.action == "run":
            said.append(block.text)
        elif block.action == "file":
            said.append(f"cat >{block.path} <<'END OF FILE'\n{block.text}END OF FILE")
    text = "\n".join(said).replace(HASH, hash_password(PASSWORD, b"s" * SALT_BYTES))
    for words in ('HARDENED="', "docker network create "):
        assert words in text
        label = f"--label {LABEL} "
        text = text.replace(words, words + label)
    return text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the directory in which everything was done that the page says."""
    made = tmp_path_factory.mktemp("readme")
    try:
        run("env", "--chdir", made, "bash", "-c", script())
        yield made
    finally:
        remove(f"label={LABEL}")


def test_all_of_it_is_healthy(place: Path) -> None:
    wait_well(CONTAINERS)
    for name in ("kvm1", "portal"):
        run("docker", "kill", "--signal", "HUP", name)
        wait_until(partial(has_said, name, "read anew"), 30, "a word of the reload")


def has_said(name: str, words: str) -> bool:
    """Tell whether a container's log has some words."""
    return words in logs(name)


@pytest.mark.parametrize("kind", ["port", "socket"])
def test_its_consoles_show_the_vm(place: Path, kind: str) -> None:
    socket = UnixTarget(str(place / "vms" / "web01.http"))
    where = TcpTarget("127.0.0.1", 6080) if kind == "port" else socket
    target = parse_console("ws://localhost/websockify")
    with (
        connect_console(where, Deadline(30)) as transport,
        enter_console(transport, target) as stream,
    ):
        client = RfbClient(stream)
        assert client.handshake().name == "QEMU (web01)"
        assert background(client) == guest_image.colour("web01")


def test_its_portal_shows_the_vm(place: Path) -> None:
    wait_well(CONTAINERS)
    ada = Portal(str(place / "pki" / "ca.crt"), PASSWORD, "ada", PORTAL_PORT)
    wait_until(lambda: "web01" in ada.shown(), 60, "the VM")
    with ada.open("web01") as stream:
        client = RfbClient(stream)
        assert client.handshake().name == "QEMU (web01)"
        assert background(client) == guest_image.colour("web01")
