"""The endpoint's process: what it owes to those who come while it is told to do something else."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.endpoint.conftest import GATEWAY, PKI, Endpoint

Result = TypeVar("Result")
SERVICE = "novnc-endpoint.service"


class SlowClient:
    """A gateway whose TLS goes by hand, one flight at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        context = ssl.create_default_context(cafile=PKI / "ca.crt")
        context.load_cert_chain(*GATEWAY)
        self.sock = socket.create_connection((endpoint.address, 16900), timeout=20)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=endpoint.address)

    def __enter__(self) -> SlowClient:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.sock.close()

    def begin(self) -> None:
        """Say hello and wait for the answer, and leave it there."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self.sock.sendall(self._out.read())
        self.sock.recv(1, socket.MSG_PEEK)

    def finish(self) -> None:
        """Shake hands to the end. Raises OSError and EOFError where the other side leaves."""
        self._until_done(self._tls.do_handshake)

    def say(self, text: bytes) -> None:
        """Send something."""
        self._tls.write(text)
        self.sock.sendall(self._out.read())

    def hear(self) -> bytes:
        """Return what comes; nothing once the other side has closed."""
        try:
            return self._until_done(lambda: self._tls.read(4096))
        except (ConnectionError, EOFError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _until_done(self, step: Callable[[], Result]) -> Result:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._out.read())
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError from None
                self._in.write(data)
            finally:
                self.sock.sendall(self._out.read())


def main_pid(endpoint: Endpoint) -> str:
    """Return the number of the process that listens."""
    return str(endpoint.on.check_output(f"systemctl show -P MainPID {SERVICE}"))


def test_who_shakes_hands_while_it_stops_is_answered_or_sent_away(plain: Endpoint) -> None:
    with plain.open("web01") as stream, SlowClient(plain) as client:
        RfbClient(stream).handshake()
        client.begin()
        pid = main_pid(plain)
        plain.on.check_output(f"systemctl restart --no-block {SERVICE}")
        plain.on.check_output(
            f"timeout 20 sh -c 'until [ $(systemctl show -P SubState {SERVICE}) != running ]"
            f" || [ $(systemctl show -P MainPID {SERVICE}) != {pid} ]; do sleep 0.05; done'"
        )
        answer = b""
        with suppress(ConnectionError, EOFError, ssl.SSLError):  # and no TimeoutError
            client.finish()
            client.say(b"GET /consoles.json HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = client.hear()
        assert answer == b"" or answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_who_asks_for_nothing_is_sent_away(plain: Endpoint, said: bytes) -> None:
    with SlowClient(plain) as client:
        client.begin()
        client.finish()
        client.say(said)
        assert client.hear() == b""


def test_a_stop_right_after_reloads_leaves_no_listener_behind(plain: Endpoint) -> None:
    with plain.open("web01") as stream:
        RfbClient(stream).handshake()
        pid = main_pid(plain)
        # While it is busy with one it hears of the next, and of the stop.
        plain.on.check_output(f"for i in $(seq 200); do kill -HUP {pid}; done; kill -TERM {pid}")
        plain.on.check_output(f"timeout 20 sh -c 'while kill -0 {pid}; do sleep 0.05; done'")
        plain.on.check_output(f"systemctl start {SERVICE}")
        assert listeners(plain) == {"1", main_pid(plain)}


def test_it_may_be_restarted_as_often_as_one_likes(plain: Endpoint) -> None:
    for _ in range(7):
        plain.on.check_output(f"systemctl restart {SERVICE}")
    assert plain.ask("/healthz")[0] == 200


def listeners(endpoint: Endpoint) -> set[str]:
    """Return the numbers of the processes that hold the listener."""
    shown = endpoint.on.check_output("ss -Hltnp sport = :16900")
    return set(re.findall(r"pid=(\d+)", shown))
