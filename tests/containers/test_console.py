"""A console in a container is what one on a host is: the same tests, and what is its own."""

from __future__ import annotations

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import (
    connect_console,
    enter_console,
    parse_console,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline
from ansible_collections.novnc.fleet.plugins.module_utils.notation import UnixTarget
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.websocket import UpgradeError

from tests.browser.test_consoles import (  # noqa: F401 (pytest runs them)
    foreign_origin,
    test_console_shows_its_guest_and_takes_keys,
    test_page_of_a_foreign_origin_is_refused,
)
from tests.containers.conftest import CONSOLES
from tests.harness.containers import (
    HARDENED,
    PROJECT,
    SHARED,
    attempt,
    checks,
    health,
    image,
    inspected,
    logs,
    run,
)
from tests.harness.fleet import background
from tests.harness.waiting import wait_until
from tests.integration.test_console import (  # noqa: F401 (pytest runs them)
    test_a_foreign_page_may_not,
    test_an_independent_client_reaches_rfb,
    test_it_shows_its_own_vm,
    test_its_own_pages_may_open_it,
    test_no_directory_is_listed,
    test_nothing_else_is_served,
    test_tls_means_tls_only,
    test_typing_reaches_the_vm,
)

SOCKETS = f"{PROJECT}-sockets"


def test_it_serves_on_sockets_alone() -> None:
    assert inspected(SOCKETS, ".HostConfig.NetworkMode") == "none"
    assert inspected(SOCKETS, ".HostConfig.ReadonlyRootfs") is True
    socket = UnixTarget(str(SHARED / "web01"))
    with connect_console(socket, Deadline(30)) as transport:
        target = parse_console("ws://localhost/websockify")
        with enter_console(transport, target, origin="http://localhost") as stream:
            client = RfbClient(stream)
            assert client.handshake().name == "QEMU (web01)"
            assert background(client) == guest_image.colour("web01")


@pytest.mark.parametrize("host", ["console.evil.example", "evil.example:6080", "1.2.3.4.example"])
def test_a_name_that_leads_there_is_no_page_of_its_own(host: str) -> None:
    """Whoever owns a name may have it lead anywhere, and their page asks for it as its own."""
    socket = UnixTarget(str(SHARED / "web01"))
    with connect_console(socket, Deadline(30)) as transport, pytest.raises(UpgradeError) as refused:
        enter_console(transport, parse_console(f"ws://{host}/websockify"), origin=f"http://{host}")
    assert refused.value.http_status == 403


def test_it_is_healthy_while_its_vnc_server_is_there() -> None:
    console, vm = f"{PROJECT}-tcp", f"{PROJECT}-tcp-vm"
    wait_until(lambda: health(console) == "healthy", 60, "a healthy console")
    run("docker", "pause", vm)
    try:
        wait_until(lambda: health(console) == "unhealthy", 60, "an unhealthy console")
    finally:
        run("docker", "unpause", vm)
    wait_until(lambda: health(console) == "healthy", 60, "a healthy console")


def test_its_health_is_no_session() -> None:
    name = f"{PROJECT}-tcp"
    sessions = logs(name).count("connecting to")
    known = checks(name)
    wait_until(lambda: len(checks(name) - known) > 1, 60, "two more checks")
    assert logs(name).count("connecting to") == sessions
    with CONSOLES[0].session():
        assert logs(name).count("connecting to") == sessions + 1


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "VNC_TARGET is missing"),
        ({"VNC_TARGET": "5900"}, "'5900' is neither 'host:port'"),
        ({"VNC_TARGET": "vm:70000"}, "'70000' is no port"),
        (
            {"VNC_TARGET": "vm:1", "VNC_TARGET_FILE": "/x"},
            "VNC_TARGET and VNC_TARGET_FILE are both",
        ),
        ({"VNC_TARGET_FILE": "/nowhere"}, "'/nowhere', which cannot be read"),
        ({"VNC_TARGET": "vm:1", "LISTEN": "host:1"}, "'host' is no IP address"),
        ({"VNC_TARGET": "vm:1", "LISTEN": "203.0.113.9:1"}, "cannot be had"),
        ({"VNC_TARGET": "vm:1", "LISTEN": "unix:/nowhere/s"}, "cannot be had"),
        ({"VNC_TARGET": "vm:1", "ALLOWED_ORIGINS": "x"}, "ALLOWED_ORIGINS has 'x'"),
        ({"VNC_TARGET": "vm:1", "TLS_CERT": "/x"}, "TLS_CERT and TLS_KEY belong together"),
        ({"VNC_TARGET": "vm:1", "TLS_CERT": "x", "TLS_KEY": "/x"}, "neither an absolute path nor"),
        ({"VNC_TARGET": "vm:1", "TLS_CERT": "/x", "TLS_KEY": "/x"}, "No such file"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(environ: dict[str, str], words: str) -> None:
    status, printed, complaint = attempt("console", environ=environ)
    assert status == 2
    assert words in complaint
    assert complaint.count("\n") == 1
    assert printed == ""


def test_certificates_may_be_texts() -> None:
    name = f"{PROJECT}-texts"
    texts = {
        f"TLS_{kind}": (SHARED / f"tls.{end}").read_text()
        for kind, end in (("CERT", "crt"), ("KEY", "key"))
    }
    variables = [word for item in texts.items() for word in ("-e", "=".join(item))]
    sockets = ("-v", f"{SHARED}:/shared", "-e", "LISTEN=unix:/shared/texts")
    quick = ("--health-interval", "1s", "-e", "VNC_TARGET=unix:/run/novnc-vms/web01.vnc")
    vms = ("-v", f"{PROJECT}_vms:/run/novnc-vms", "--network", "none")
    run(
        "docker",
        "run",
        "-d",
        "--name",
        name,
        *HARDENED,
        *sockets,
        *quick,
        *vms,
        *variables,
        image("console"),
    )
    try:
        wait_until(lambda: health(name) == "healthy", 60, "a healthy console")
    finally:
        run("docker", "rm", "-f", name)
