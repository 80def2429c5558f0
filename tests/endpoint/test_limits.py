"""What ends a session that nobody closes, on the wire: time, idleness, stalls, the wrong VM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.rfb_messages import (
    framebuffer_update_request,
)
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream

from tests.endpoint.conftest import Endpoint, last_words
from tests.harness.fleet import background
from tests.harness.waiting import wait_until

SETTINGS = "/etc/novnc-fleet/endpoint.json"
SHORT = 2
"""Seconds of the limits here."""
VERSION = b"RFB 003.008\n"
VNC_LOGIN, CHALLENGE_BYTES = 2, 16
"""The login with a password (RFC 6143, section 7.2.2)."""


@contextmanager
def settings(endpoint: Endpoint, **changed: int) -> Iterator[None]:
    """Have an endpoint run with other settings for a while."""
    before = endpoint.on.file(SETTINGS).content_string
    _reload(endpoint, json.dumps({**json.loads(before), **changed}))
    try:
        yield
    finally:
        _reload(endpoint, before)


def _reload(endpoint: Endpoint, text: str) -> None:
    count = 'journalctl -u novnc-endpoint -o cat | grep -c \'"event": "reloaded"\' || :'
    reloads = endpoint.on.check_output(count)
    endpoint.on.check_output(
        f"cat > {SETTINGS} <<'END'\n{text}\nEND\nsystemctl reload novnc-endpoint"
    )
    wait_until(lambda: endpoint.on.check_output(count) != reloads, 10, "new settings")


@contextmanager
def frozen(endpoint: Endpoint, vm: str) -> Iterator[None]:
    """Stop a VM's process for a while: its listener stays, and nobody answers there."""
    endpoint.on.check_output(f"systemctl kill -s STOP qemu-vm@{vm}")
    try:
        yield
    finally:
        endpoint.on.check_output(f"systemctl kill -s CONT qemu-vm@{vm}")


def entered(
    stack: ExitStack, endpoint: Endpoint, mode: str = "control"
) -> tuple[ByteStream, RfbClient]:
    """Open a console, past the handshake."""
    stream = stack.enter_context(endpoint.open("web01", mode=mode))
    client = RfbClient(stream)
    client.handshake()
    return stream, client


def test_a_session_ends_after_its_longest_time(plain: Endpoint) -> None:
    with settings(plain, session_timeout=SHORT), ExitStack() as stack:
        for mode in ("control", "watch"):
            words = last_words(entered(stack, plain, mode)[0])
            assert "code 1008" in words
            assert f"the session has lasted {SHORT} s, the longest allowed" in words


def test_who_does_nothing_is_let_go_and_who_types_or_watches_stays(plain: Endpoint) -> None:
    with settings(plain, session_idle_timeout=SHORT), ExitStack() as stack:
        types, watches = (entered(stack, plain, mode)[1] for mode in ("control", "watch"))
        idle, _ = entered(stack, plain)
        reader = stack.enter_context(ThreadPoolExecutor(1)).submit(last_words, idle)
        while not reader.done():
            types.type_text("x")
            background(types)
        assert "code 1008" in reader.result()
        assert f"nobody has used the console for {SHORT} s" in reader.result()
        assert background(types) == background(watches)
        assert sorted(one["mode"] for one in plain.sessions()) == ["control", "watch"]


def test_a_server_that_says_nothing_is_said_to(plain: Endpoint) -> None:
    with (
        settings(plain, stall_timeout=SHORT),
        frozen(plain, "web01"),
        plain.open("web01") as stream,
        pytest.raises(HopError) as refused,
    ):
        RfbClient(stream).handshake()
    assert refused.value.hop == "refused"
    assert f"the VNC server of web01 has said nothing for {SHORT} s" in str(refused.value)


def test_a_server_that_stops_in_the_handshake_is_said_to(plain: Endpoint) -> None:
    # Nobody is late until the server is frozen and it is its turn, however long that takes.
    with settings(plain, stall_timeout=60), plain.open("web01", timeout=60) as stream:
        version = stream.read_exactly(len(VERSION))
        with frozen(plain, "web01"):
            stream.send(version)
            with settings(plain, stall_timeout=SHORT):
                # As a server would that turns somebody away (RFC 6143, section 7.1.2).
                assert stream.read_exactly(1) == bytes(1)
                length = int.from_bytes(stream.read_exactly(4), "big")
                reason = stream.read_exactly(length).decode()
                words = last_words(stream)
    assert reason == f"the VNC server of web01 has said nothing for {SHORT} s"
    assert "code 1011" in words
    assert reason in words


def test_who_stops_in_the_handshake_gives_up_their_place(plain: Endpoint) -> None:
    with settings(plain, stall_timeout=SHORT), plain.open("web01") as stream:
        stream.read_exactly(len(VERSION))
        words = last_words(stream)
        assert "code 1008" in words
        assert f"the visitor has said nothing for {SHORT} s" in words
        assert plain.sessions() == []


def test_who_has_to_type_a_password_has_more_time(libvirt: Endpoint) -> None:
    def goes_on() -> bool:
        (listed,) = [one for one in libvirt.sessions() if one["vm"] == "locked"]
        return bool(listed["seconds"] > 3 * SHORT)

    with settings(libvirt, stall_timeout=SHORT), libvirt.open("locked") as stream:
        stream.send(stream.read_exactly(len(VERSION)))
        assert VNC_LOGIN in stream.read_exactly(stream.read_exactly(1)[0])
        stream.send(bytes([VNC_LOGIN]))
        stream.read_exactly(CHALLENGE_BYTES)
        wait_until(goes_on, 30, "somebody who types for longer than that")


def test_a_server_that_takes_nothing_ends_the_session(plain: Endpoint) -> None:
    with settings(plain, stall_timeout=SHORT), ExitStack() as stack:
        stream, _ = entered(stack, plain)
        (listed,) = plain.sessions()
        with frozen(plain, "web01"), suppress(HopError):
            while True:  # until it is let go
                stream.send(framebuffer_update_request(0, 0, 1, 1) * 1000)
    (end,) = [one for one in plain.journal(listed["session"]) if one["event"] == "session-end"]
    assert end["reason"] == f"the VNC server of web01 took nothing for {SHORT} s"


@pytest.mark.parametrize("mode", ["control", "watch"])
def test_another_vm_in_the_place_of_the_one_asked_for_is_not_shown(
    plain: Endpoint, mode: str
) -> None:
    """A VM replaces another one's socket; looked up, the other still seems to be there."""
    plain.on.check_output(
        "echo VNC=unix:/run/qemu/other.vnc > /etc/test-vms/other.env\n"
        "systemctl start qemu-vm@other\n"
        "mv /run/qemu/db01.vnc /run/qemu/kept.vnc && mv /run/qemu/other.vnc /run/qemu/db01.vnc"
    )
    try:
        with plain.open("db01", mode=mode) as stream, pytest.raises(HopError) as refused:
            RfbClient(stream).handshake()
        assert refused.value.hop == "refused"
        assert "shows another VM: 'QEMU (other)'" in str(refused.value)
    finally:
        plain.on.check_output(
            "mv /run/qemu/kept.vnc /run/qemu/db01.vnc; systemctl stop qemu-vm@other\n"
            "rm /etc/test-vms/other.env"
        )
    with plain.open("db01", mode=mode) as stream:
        assert RfbClient(stream).handshake().name == "QEMU (db01)"
