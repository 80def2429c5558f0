"""The fleet of docker/compose.yml: what people meet, VMs that come and go, and what they run by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import guest_image
import pytest
import yaml
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError, StreamClosedError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream
from playwright.sync_api import Browser, expect

from tests.browser.test_portal import Person
from tests.browser.viewer import TIMEOUT_MS
from tests.containers.conftest import Portal
from tests.harness import containers
from tests.harness.containers import complaint, compose, health, inspected, logs, name_of, run
from tests.harness.fleet import background
from tests.harness.waiting import wait_until

SOON = 15.0
"""Seconds in which the portal has to know; how many it took is told, as machines may be busy."""
ASK_HTTP = f"""
import http.client
line = http.client.HTTPConnection("127.0.0.1", 8080)
try:
    line.request("GET", "/", headers={{"Host": "localhost:{containers.PORT}"}})
    print(line.getresponse().status)
except OSError as error:
    print(error)
"""
WRITTEN = "/etc/novnc-fleet/gateway.yml"


@pytest.mark.parametrize("vm", ["web01", "db01"])
def test_a_vm_is_shown_through_the_gateway(portal: Portal, vm: str) -> None:
    with portal.open(vm) as stream:
        client = RfbClient(stream)
        assert client.handshake().name == f"QEMU ({vm})"
        assert background(client) == guest_image.colour(vm)


def test_people_find_both_vms_and_use_them(browser: Browser, portal: Portal) -> None:
    with browser.new_context() as context:
        account = {"name": "admin", "password": portal.password}
        admin = Person(context, containers.PORTAL, account)
        admin.log_in()
        expect(admin.page.locator("#hosts li .name")).to_have_text(["db01", "web01"])
        for vm in ("web01", "db01"):
            # Afresh: who has searched before has the cursor in the field.
            admin.page.goto(containers.PORTAL)
            viewer = admin.open({"vm": vm, "host": "compose"})
            viewer.use()
            assert viewer.complaints == set()
        assert admin.complaints == set()
        assert urlsplit(admin.page.url).scheme == "https"


@pytest.mark.parametrize("vm", ["web01", "db01"])
def test_a_killed_vm_is_off_soon_and_comes_back(portal: Portal, browser: Browser, vm: str) -> None:
    assert portal.state(vm) == "running"
    with browser.new_context() as context:
        admin = Person(context, containers.PORTAL, {"name": "admin", "password": portal.password})
        admin.log_in()
        row = admin.page.locator("#hosts li", has_text=vm)
        expect(row).to_contain_text("running", timeout=TIMEOUT_MS)
        taken = []
        for command, state in (("kill", "off"), ("start", "running")):
            run("docker", command, name_of(vm))
            start = time.monotonic()
            expect(row).to_contain_text(state, timeout=3 * SOON * 1000)
            taken.append(time.monotonic() - start)
            assert portal.state(vm) == state
    print(f"\n{vm}: off after {taken[0]:.1f} s, running after {taken[1]:.1f} s ({SOON} s at most)")
    with portal.open(vm) as stream:
        assert RfbClient(stream).handshake().name == f"QEMU ({vm})"


def sessions() -> str:
    """Return what the endpoint counts as sessions."""
    script = (
        "import http.client, socket\n"
        "line = http.client.HTTPConnection('localhost')\n"
        "line.sock = socket.socket(socket.AF_UNIX)\n"
        "line.sock.connect('/run/novnc-endpoint/control/main.sock')\n"
        "line.request('GET', '/sessions/ended?after=0')\n"
        "print(line.getresponse().read().decode())\n"
    )
    return run("docker", "exec", name_of("endpoint"), "python3", "-c", script)


@pytest.mark.parametrize("service", ["web01", "endpoint", "gateway"])
def test_its_health_is_no_session(portal: Portal, service: str) -> None:
    wait_until(lambda: health(name_of(service)) == "healthy", 60, "health")
    before = sessions()
    assert complaint(name_of(service)) == ""
    assert sessions() == before
    with portal.open("web01") as stream:
        RfbClient(stream).handshake()
    wait_until(lambda: sessions() != before, 30, "a session that is one")


def test_health_needs_a_vm_that_greets() -> None:
    name = name_of("endpoint")
    with paused("web01"):
        assert complaint(name) == ""  # the other one greets
        with paused("db01"):
            assert "no answer within" in complaint(name)
    with paused("endpoint"):
        gateway = name_of("gateway")
        wait_until(lambda: "none of the endpoints" in complaint(gateway), 60, "unhealth")
    wait_until(lambda: complaint(gateway) == "", 60, "health")


@contextmanager
def paused(service: str) -> Iterator[None]:
    """Have a container stand still."""
    run("docker", "pause", name_of(service))
    try:
        yield
    finally:
        run("docker", "unpause", name_of(service))


def write(text: str) -> None:
    """Write the gateway's one file, which it may not write itself."""
    volume = f"{containers.PROJECT}_gateway:/settings"
    script = 'printf %s "$TEXT" >/settings/gateway.yml'
    run(
        *("docker", "run", "--rm", "-v", volume, "--network", "none", "-e", f"TEXT={text}"),
        *("--user", "65532", "--entrypoint", "sh", containers.image("gateway"), "-euc", script),
    )


@pytest.fixture
def written(gateway: str) -> Iterator[str]:
    """Return what is written, and write it again at the end."""
    text = run("docker", "exec", gateway, "cat", WRITTEN)
    yield text
    write(text)
    reload(gateway)


def reload(gateway: str) -> str:
    """Have the gateway read its file; return what it says then."""
    before = len(logs(gateway))
    run("docker", "kill", "--signal", "HUP", gateway)
    wait_until(
        lambda: any(
            word in logs(gateway)[before:] for word in ("read anew", "nothing has changed")
        ),
        30,
        "a word of the reload",
    )
    return logs(gateway)[before:]


def test_a_reload_takes_what_is_new_and_drops_no_console(
    gateway: str, portal: Portal, written: str
) -> None:
    with portal.open("web01") as stream:
        client = RfbClient(stream)
        client.handshake()
        settings = yaml.safe_load(written)
        settings["novnc_gateway_users"]["kim"] = {"password": "kim's password"}
        settings["novnc_gateway_http_port"] = 8080
        write(yaml.safe_dump(settings))
        assert "read anew" in reload(gateway)
        # nginx's part, and the directory's.
        asked = ("docker", "exec", gateway, "python3", "-c", ASK_HTTP)
        wait_until(lambda: run(*asked) == "301\n", 30, "http")
        assert Portal(portal.ca, portal.password).shown().keys() == {"web01", "db01"}
        assert background(client) == guest_image.colour("web01")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("novnc_gateway_user: {}", "unknown key 'novnc_gateway_user'; did you mean"),
        ("novnc_gateway_names: ['https://x']", "is no public name"),
        ("novnc_gateway_tls_cert: /x", "novnc_gateway_tls_cert and novnc_gateway_tls_key belong"),
        ("novnc_hypervisors: {hosts: [kvm1]}", "novnc_hypervisors is no group of hosts"),
        ("novnc_hypervisors: {hosts: {kvm1: {ansible_host: kvm1.example}}}", "write the host's IP"),
        ("{", "is no YAML"),
    ],
)
def test_a_reload_takes_nothing_that_cannot_work(
    gateway: str, portal: Portal, written: str, text: str, words: str
) -> None:
    write(text)
    said = reload(gateway)
    assert "nothing has changed" in said
    assert words in said
    assert portal.state("web01") == "running"


def test_the_directory_dies_and_consoles_live_on(gateway: str, portal: Portal) -> None:
    with portal.open("web01") as stream:
        client = RfbClient(stream)
        client.handshake()
        script = (
            "import os, signal\n"
            "for pid in filter(str.isdecimal, os.listdir('/proc')):\n"
            "    if b'novnc_directory\\0' in open(f'/proc/{pid}/cmdline', 'rb').read():\n"
            "        os.kill(int(pid), signal.SIGKILL)\n"
        )
        run("docker", "exec", gateway, "python3", "-c", script)
        wait_until(lambda: "is started again" in logs(gateway), 30, "another directory")
        assert background(client) == guest_image.colour("web01")
    assert portal.state("web01") == "running"


@pytest.mark.parametrize("service", ["endpoint", "gateway"])
def test_it_ends_when_told_to_and_visitors_are_told(portal: Portal, service: str) -> None:
    name = name_of(service)
    with portal.open("db01") as stream:
        RfbClient(stream).handshake()
        run("docker", "stop", name)
        try:
            assert inspected(name, ".State.ExitCode") == 0
            words = last_words(stream)
            if service == "endpoint":
                assert "has been stopped" in words
        finally:
            run("docker", "start", name)
    wait_until(lambda: opens(portal, "db01"), 60, "a console")


def last_words(stream: ByteStream) -> str:
    """Read until the other side closes; return how."""
    try:
        while True:
            stream.receive()
    except (StreamClosedError, HopError) as ended:
        return str(ended)


def opens(portal: Portal, vm: str) -> bool:
    """Tell whether a console can be opened."""
    try:
        with portal.open(vm) as stream:
            return RfbClient(stream).handshake().name is not None
    except (HopError, OSError):
        return False


def shown(portal: Portal) -> set[str]:
    """Return which VMs the portal has; none where it does not answer."""
    try:
        return set(portal.shown())
    except (OSError, ValueError):
        return set()


def test_another_start_makes_nothing_anew(portal: Portal) -> None:
    compose("up", "-d")
    wait_until(lambda: "web01" in shown(portal), 60, "the fleet")
    assert Portal(portal.ca, portal.password).shown().keys() == {"web01", "db01"}


def test_another_port_than_before_is_told() -> None:
    told = compose("run", "--rm", "-T", "-e", "PORTAL=localhost:9", "setup")
    assert "does not have localhost:9; if the name" in told
    assert told.count("gateway.yml") == 1


def test_the_portal_may_be_for_others_by_a_name() -> None:
    written = compose("config", NOVNC_FLEET_NAME="vms.example.com", NOVNC_FLEET_ADDRESS="192.0.2.1")
    services = yaml.safe_load(written)["services"]
    portal = f"vms.example.com:{containers.PORT}"
    assert services["setup"]["environment"]["PORTAL"] == portal
    published = str(services["gateway"]["ports"])
    assert "192.0.2.1" in published
    assert "127.0.0.1" not in published
    told = compose("run", "--rm", "-T", "-e", f"PORTAL={portal}", "setup")
    assert f"https://{portal}/ as admin" in told
