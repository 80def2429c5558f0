"""Who has no business here gets no byte of RFB, whichever VM they ask for and however."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.endpoint.conftest import GATEWAY, PKI, Endpoint
from tests.endpoint.test_access import Certificate

Identity = Callable[[Certificate], tuple[str, str]]


class Way(NamedTuple):
    """How somebody comes.

    Attributes:
        identity: Their certificate; None without.
        tls: Highest version of TLS they speak; None for plain http.
        origin: The page that they come from; empty without.
    """

    identity: Identity | None = lambda _: GATEWAY
    tls: ssl.TLSVersion | None = ssl.TLSVersion.MAXIMUM_SUPPORTED
    origin: str = ""


RIGHT = Way()
WAYS = {
    "no certificate": Way(identity=None),
    "a certificate of a stranger": Way(identity=lambda issue: issue("stranger", foreign=True)),
    "an allowed name of a foreign authority": Way(
        identity=lambda issue: issue("gateway", foreign=True)
    ),
    "plain http": Way(tls=None),
    "TLS 1.1": Way(tls=ssl.TLSVersion.TLSv1_1),
    "a foreign page": Way(origin="https://evil.example"),
}
VMS = (
    ("plain", "web01"),
    ("plain", "db01"),
    ("libvirt", "red"),
    ("libvirt", "two words"),
    ("libvirt", "socket"),
)
REQUEST = """\
GET /vm/{vm}/websockify HTTP/1.1\r
Host: {address}:16900\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Sec-WebSocket-Version: 13\r
X-Console-User: kim\r
X-Console-Mode: control\r
{origin}\r
"""


def dressed(sock: socket.socket, way: Way, address: str, issue: Certificate) -> socket.socket:
    """Return a connection as somebody uses it who comes that way. Raises OSError."""
    if way.tls is None:
        return sock
    context = ssl.create_default_context(cafile=PKI / "ca.crt")
    if way.tls == ssl.TLSVersion.TLSv1_1:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = way.tls
    context.maximum_version = way.tls
    if way.identity:
        context.load_cert_chain(*way.identity(issue))
    return context.wrap_socket(sock, server_hostname=address)


def heard(endpoint: Endpoint, vm: str, way: Way, issue: Certificate) -> tuple[str, bytes]:
    """Return how the request was answered, and the bytes that came after that.

    The answer is a status line, or empty where it did not come to HTTP.
    """
    origin = f"Origin: {way.origin}\r\n" if way.origin else ""
    request = REQUEST.format(vm=quote(vm), address=endpoint.address, origin=origin)
    answer = b""
    try:
        with (
            socket.create_connection((endpoint.address, 16900), timeout=30) as bare,
            dressed(bare, way, endpoint.address, issue) as sock,
        ):
            sock.sendall(request.encode())
            # After a refusal the connection stays open: it is asked for its end.
            while b"\r\n\r\n" not in answer and (data := sock.recv(4096)):
                answer += data
            if not answer.startswith(b"HTTP/1.1 101"):
                sock.sendall(request.replace("Connection: Upgrade", "Connection: close").encode())
            while b"RFB " not in answer and (data := sock.recv(4096)):
                answer += data
    except OSError:
        pass  # cut off; what has come before that counts
    head, _, rest = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1").partition("\r\n")[0], rest


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
@pytest.mark.parametrize(("host", "vm"), VMS)
@pytest.mark.parametrize("way", WAYS)
def test_strangers_get_no_byte_of_rfb(
    request: pytest.FixtureRequest, host: str, vm: str, way: str, certificate: Certificate
) -> None:
    endpoint: Endpoint = request.getfixturevalue(host)
    status, rest = heard(endpoint, vm, WAYS[way], certificate)
    assert not status.startswith("HTTP/1.1 101")
    assert b"RFB" not in rest
    assert status.startswith("HTTP/1.1 403") == (way == "a foreign page")


@pytest.mark.parametrize(("host", "vm"), VMS)
def test_the_same_request_of_a_gateway_gets_it(
    request: pytest.FixtureRequest, host: str, vm: str, certificate: Certificate
) -> None:
    status, rest = heard(request.getfixturevalue(host), vm, RIGHT, certificate)
    assert status.startswith("HTTP/1.1 101")
    assert b"RFB " in rest
