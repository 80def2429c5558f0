"""Consoles as units: gone when idle, back after a crash, fenced in, and quick to let go."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from urllib.parse import quote, urlencode

from ansible_collections.novnc.fleet.plugins.module_utils.rfb_messages import (
    framebuffer_update_request,
)

from tests.harness import demo
from tests.harness.fleet import CA, Console, run_playbook, variables
from tests.harness.project import ROOT
from tests.harness.waiting import wait_until
from tests.integration.conftest import ALL

IDLE_TIMEOUT = 60
"""Seconds, the role's default (novnc_console_idle_timeout)."""


def test_it_is_there_for_visitors_only() -> None:
    with ExitStack() as sessions:
        for console in ALL:
            sessions.enter_context(console.session(timeout=900))
        time.sleep(IDLE_TIMEOUT / 10)
        assert all(console.main_pid() for console in ALL)
    # websockify looks once a second, and systemd takes a moment
    taken = wait_until(
        lambda: not any(console.main_pid() for console in ALL), IDLE_TIMEOUT + 20, "still running"
    )
    assert taken > IDLE_TIMEOUT * 0.8
    for console in ALL:
        assert console.on.run("pgrep -f console_proxy.py").stdout == ""
        assert console.on.socket(f"tcp://{console.listen}").is_listening
    for console in ALL:
        with console.session() as client:
            assert client.info.name == f"QEMU ({console.vm})"


def told(*paths: str) -> Iterator[str]:
    """Yield what the gateway answers to somebody who may do everything."""
    address, account = variables("novnc_gateways")["gw1"]["ansible_host"], demo.accounts()[0]
    context = ssl.create_default_context(cafile=str(CA))
    form = urlencode({"username": account["name"], "password": account["password"]})
    kind = "application/x-www-form-urlencoded"
    headers = {"Origin": f"https://{address}", "Content-Type": kind}
    with closing(http.client.HTTPSConnection(address, context=context, timeout=30)) as line:
        line.request("POST", "/login", form, headers)
        answer = line.getresponse()
        answer.read()
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        for path in paths:
            line.request("GET", path, headers={"Cookie": cookie})
            answer = line.getresponse()
            assert answer.status == 200, path
            yield answer.read().decode()


def test_what_the_portal_tells_wakes_none() -> None:
    for console in ALL:
        console.on.check_output(f"systemctl stop {console.service}")
    own = [f"/vm/{quote(one.vm)}/{rest}" for one in ALL for rest in ("", "state.json")]
    listed, *pages = told("/consoles.json", "/", "/portal.json", *own)
    assert {one.vm for one in ALL} <= {one["vm"] for one in json.loads(listed)}
    assert all(pages)
    assert not any(console.main_pid() for console in ALL)


@contextmanager
def dropped(console: Console, port: int) -> Iterator[None]:
    """Drop every packet of a client with this port on its way to the console's host."""
    rule = f"INPUT -p tcp --sport {port} -j DROP"
    console.on.check_output(f"iptables -I {rule}")
    try:
        yield
    finally:
        console.on.check_output(f"iptables -D {rule}")


def is_connected(console: Console, port: int) -> bool:
    """Tell whether the console's host still holds the connection of a client."""
    out = console.on.check_output(f"ss -Htn state established sport = :{console.address[1]}")
    return f":{port}" in str(out)


def test_clients_that_vanish_are_let_go(by_name: Callable[[str], Console]) -> None:
    """One with a still screen (keepalive) and one with data on its way (TCP_USER_TIMEOUT)."""
    still, changing = by_name("web01"), by_name("win10")
    with ExitStack() as stack:
        typist = stack.enter_context(changing.session(timeout=900))
        idler = stack.enter_context(still.opened(timeout=120))
        watcher = stack.enter_context(changing.opened(timeout=120))
        idler.client.framebuffer()
        size = watcher.client.framebuffer()
        watcher.stream.send(
            framebuffer_update_request(0, 0, size.width, size.height, incremental=True)
        )
        visitors = {still: idler.port, changing: watcher.port}
        for console, port in visitors.items():
            assert is_connected(console, port)
            stack.enter_context(dropped(console, port))

        def all_gone() -> bool:
            typist.type_text("x")
            return not any(is_connected(console, port) for console, port in visitors.items())

        wait_until(all_gone, 60, "clients that vanished")


def test_each_console_is_a_user_of_its_own() -> None:
    with ExitStack() as sessions:
        users = []
        for console in ALL:
            sessions.enter_context(console.session())
            users.append(
                (console.host, console.on.check_output(f"stat -c %u /proc/{console.main_pid()}"))
            )
        assert "0" not in {user for _, user in users}
        assert len(set(users)) == len(ALL)


def test_a_program_that_cannot_start_makes_no_storm(by_name: Callable[[str], Console]) -> None:
    console = by_name("web01")
    host, socket_unit = console.on, "novnc-console@web01.socket"
    drop_in = f"/run/systemd/system/{console.service}.d"
    host.check_output(f"systemctl stop {console.service} && mkdir -p {drop_in}")
    host.check_output(
        f"printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' > {drop_in}/broken.conf"
        " && systemctl daemon-reload"
    )
    try:
        starts = f"journalctl -o cat -u {console.service} | grep -c 'Failed with result' || true"
        before = int(host.check_output(starts))
        # As long as systemd counts; a slow host may not get through so many starts.
        with socket.create_connection(console.address, timeout=5), suppress(AssertionError):
            wait_until(
                lambda: host.run(f"systemctl is-active {socket_unit}").stdout.strip() == "failed",
                60,
                "systemd gives up",
            )
        assert int(host.check_output(starts)) - before <= 200
    finally:
        host.check_output(f"rm -r {drop_in} && systemctl daemon-reload")
    run = run_playbook(ROOT / "playbooks" / "consoles.yml", "--limit", "kvm1")
    assert run.status == 0, run.output
    with console.session() as client:
        assert client.info.name == "QEMU (web01)"


def test_a_client_that_drips_is_let_go(by_name: Callable[[str], Console]) -> None:
    """A byte a second would keep each read alive for ever; the request as a whole has its time."""
    console = by_name("web01")
    with socket.create_connection(console.address, timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nX-Drip: ")
        plain.settimeout(1)
        for _ in range(30):
            try:
                plain.sendall(b"x")
                assert plain.recv(100) == b""
                return
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                return
    raise AssertionError("still connected after 30 s")
