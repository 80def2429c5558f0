"""Whether a container does its work, and that asking does its VMs no harm."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils import vms
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from novnc_endpoint_image import health as endpoint
from novnc_gateway_image import health as gateway
from novnc_image import health

from tests.unit.fakes import VERSION, says, serve

Server = Callable[[socket.socket], None]
NO_LOGIN = VERSION + b"\x01\x01"
A_LOGIN = VERSION + b"\x01\x02"


class Vnc:
    """A VNC server that says something and keeps what each visitor says."""

    def __init__(self, said: bytes) -> None:
        self.heard: list[bytes] = []
        self._said = said

    def __call__(self, connection: socket.socket) -> None:
        """Serve one."""
        connection.sendall(self._said)
        got = b""
        if self._said == NO_LOGIN:
            got = connection.recv(12) + connection.recv(1)
            connection.sendall(bytes(4))
        while more := connection.recv(64):
            got += more
        self.heard.append(got)


class Host:
    """A host of typed VMs."""

    def __init__(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._consoles, settings = here / "consoles.json", here / "endpoint.json"
        limits = ("session_timeout", "session_idle_timeout", "stall_timeout")
        texts = dict.fromkeys(("address", "cert", "key", "ca", "control"), "")
        said = {"host": "kvm1", "allowed_names": [], "max_sessions_per_vm": 1, "qmp": {}}
        settings.write_text(json.dumps({**said, **texts, **dict.fromkeys(limits, 0)}))
        monkeypatch.setattr(endpoint, "SETTINGS", str(settings))
        monkeypatch.setattr(endpoint, "WANT_LOGIN", here / "want-login", raising=False)
        monkeypatch.setattr(
            endpoint, "find_vms", partial(vms.find_vms, consoles=str(self._consoles))
        )
        # Of the machine that the tests run on nothing counts.
        monkeypatch.setattr(vms, "qemu_processes", list)
        monkeypatch.setattr(vms, "libvirt_domains", lambda _timeout: None)

    def check(self, *servers: Server, off: int = 0) -> None:
        """Ask servers, and sockets that nobody listens on."""
        with ExitStack() as stack:
            here = self._consoles.parent
            paths = [here / f"{number}.vnc" for number in range(len(servers) + off)]
            for server, path in zip(servers, paths, strict=False):
                path.unlink(missing_ok=True)
                stack.enter_context(serve(server, path=path))
            self._consoles.write_text(
                json.dumps(
                    [
                        {
                            "vm": path.stem,
                            "title": path.stem,
                            "vnc": f"unix:{path}",
                            "expect_name": path.stem,
                            "expect_strict": False,
                            "listen": "",
                        }
                        for path in paths
                    ]
                )
            )
            endpoint.a_vm_greets()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_a_server_that_wants_a_login_is_visited_once(host: Host) -> None:
    server = Vnc(A_LOGIN)
    for _ in range(6):
        host.check(server)
    assert server.heard == [VERSION]


def test_a_server_without_a_login_is_asked_each_time_and_has_no_session(host: Host) -> None:
    server = Vnc(NO_LOGIN)
    for _ in range(2):
        host.check(server)
    assert server.heard == 2 * [VERSION + b"\x01"]


def test_silent_servers_are_asked_at_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 1.0)
    start = time.monotonic()
    with pytest.raises(HopError, match="no answer within"):
        host.check(*[says()] * 8)
    assert time.monotonic() - start < 4.0


def test_one_that_greets_is_enough(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.5)
    host.check(says(), Vnc(NO_LOGIN), off=1)


def test_vms_that_are_off_are_no_fault_and_excuse_none(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "TIMEOUT", 0.5)
    host.check(off=2)
    with pytest.raises(HopError, match="no answer within"):
        host.check(says(), off=1)


def test_a_gateway_that_has_not_started_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gateway, "HEALTH_JSON", str(tmp_path / "health.json"))
    with pytest.raises(SystemExit) as ended:
        health.check(gateway.look)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("the gateway has not started: there is no ")
    assert said.count("\n") == 1
