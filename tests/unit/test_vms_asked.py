"""VNC servers known by their target only: they are asked, but not again and again."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils import vms_asked
from ansible_collections.novnc.fleet.plugins.module_utils.connections import (
    parse_proc,
    unix_listeners,
)
from ansible_collections.novnc.fleet.plugins.module_utils.notation import parse_target
from ansible_collections.novnc.fleet.plugins.module_utils.vms_asked import Asked
from ansible_collections.novnc.fleet.plugins.module_utils.vms_typed import Typed, is_local

from tests.unit.fakes import VERSION, greeting, says, serve


def typed(vnc: str, name: str = "one") -> Typed:
    """Return a typed console."""
    target = parse_target(vnc)
    return Typed(name, name, target, f"QEMU ({name})", False, False, is_local(target))


WANTS_LOGIN = VERSION + b"\x01\x02"


class Counted:
    """A VNC server that counts its visits."""

    def __init__(self, greets: bytes = greeting()) -> None:
        self.visits = 0
        self._greets: Callable[[socket.socket], None] = says(greets)

    def __call__(self, connection: socket.socket) -> None:
        """Serve one."""
        self.visits += 1
        self._greets(connection)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost"),
        ("0.0.0.0", "127.0.0.1"),
        ("::1", "[::1]"),
    ],
)
def test_who_has_answered_is_asked_again_only_once_it_is_another(host: str, said: str) -> None:
    server, asked = Counted(), Asked()
    with serve(server, host=host) as address:
        console = typed(f"{said}:{address.rpartition(':')[2]}")
        for _ in range(8):
            assert asked.states([console]) == ["running"]
        assert server.visits == 1
        assert Asked().states([console]) == ["running"]
        assert server.visits == 2
    assert asked.states([console]) == ["off"]


def test_another_server_in_its_place_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vms_asked, "ASK_TIMEOUT", 0.2)
    asked = Asked()
    with serve(Counted()) as address:
        assert asked.states([typed(address)]) == ["running"]
    port = int(address.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert asked.states([typed(address)]) == ["unknown"]


def test_who_has_not_answered_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vms_asked, "ASK_TIMEOUT", 0.2)
    greets, visits = [False], [0]

    def handle(connection: socket.socket) -> None:
        visits[0] += 1
        says(greeting() if greets[0] else b"")(connection)

    asked = Asked()
    with serve(handle) as address:
        assert asked.states([typed(address)]) == ["unknown"]
        greets[0] = True
        assert asked.states([typed(address)]) == ["running"]
        assert visits[0] == 2


def test_on_a_unix_socket_it_is_asked_once_too(tmp_path: Path) -> None:
    server, asked = Counted(), Asked()
    console = typed(f"unix:{tmp_path}/a b")
    for visits in (1, 2):  # the second in the place of the first
        with serve(server, path=tmp_path / "a b"):
            for _ in range(8):
                assert asked.states([console]) == ["running"]
            assert server.visits == visits
        assert asked.states([console]) == ["off"]
        (tmp_path / "a b").unlink()
        assert asked.states([console]) == ["off"]


def elsewhere(address: str, name: str = "one") -> Typed:
    """Return a console of a server of which the kernel here knows nothing."""
    return replace(typed(address, name), local=False)


def test_who_is_elsewhere_is_asked_each_time() -> None:
    server, asked = Counted(), Asked()
    with serve(server) as address:
        for _ in range(3):
            assert asked.states([elsewhere(address)]) == ["running"]
        assert server.visits == 3
    assert asked.states([elsewhere(address)]) == ["off"]


def test_who_is_elsewhere_and_wants_a_login_is_asked_once() -> None:
    server, other, asked = Counted(WANTS_LOGIN), Counted(WANTS_LOGIN), Asked()
    with serve(server) as address, serve(other) as other_address:
        consoles = [elsewhere(address), elsewhere(other_address, "two")]
        for _ in range(8):
            assert asked.states(consoles) == ["running", "running"]
        asked.forget("one")
        assert asked.states(consoles) == ["running", "running"]
        assert (server.visits, other.visits) == (2, 1)
    # Nothing tells that it has gone, until somebody has not reached it.
    assert asked.states(consoles) == ["running", "running"]
    asked.forget("one")
    assert asked.states(consoles) == ["off", "running"]
    assert asked.states(consoles[:1]) == ["off"]


def test_a_console_that_shows_another_server_by_now_is_asked_for() -> None:
    server, other, asked = Counted(WANTS_LOGIN), Counted(WANTS_LOGIN), Asked()
    with serve(server) as address, serve(other) as other_address:
        for one in (address, other_address):
            assert asked.states([elsewhere(one)]) == ["running"]
    assert (server.visits, other.visits) == (1, 1)


def test_unix_listeners_are_read_as_the_kernel_prints_them() -> None:
    text = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 7584694\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 7584695 /run/a b\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 7584696 /run/a b\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01    17 @/run/abstract\n"
        "0000000000000000: 00000002 00000000 00010000 0005 01    18 /run/a\n"
        "somebody's: own 0 00010000 words\n"
    )
    assert unix_listeners(text) == {"/run/a b": 7584695, "/run/a": 18}


def test_listeners_are_read_as_the_kernel_prints_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "little")
    text = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
        " inode\n"
        "   0: 0100007F:170C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0"
        " 1163 1 0000000037a2d4d2 100 0 0 10 0\n"
        "   1: 0100007F:170C 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0"
        " 1164 1 0000000037a2d4d2 100 0 0 10 0\n"
        "   2: B80D0120000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A"
        " 00000000:00000000 00:00000000 00000000     0        0 1165 1 0000000037a2d4d2 100 0 0\n"
    )
    assert [(str(one.address), one.port, one.inode) for one in parse_proc(text)] == [
        ("127.0.0.1", 5900, 1163),
        ("2001:db8::1", 8080, 1165),
    ]
