"""Who is let in: allowed certificates of the right authority, from no page at all."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from ssl import TLSVersion

import pytest

from tests.endpoint.conftest import PKI, Endpoint, refusal

Certificate = Callable[..., tuple[str, str]]


def test_without_a_certificate_nothing_is_heard(plain: Endpoint) -> None:
    error = refusal(lambda: plain.open("web01", identity=None))
    assert error.http_status is None


def test_an_allowed_name_of_a_foreign_authority_hears_nothing(
    plain: Endpoint, certificate: Certificate
) -> None:
    identity = certificate("gateway", foreign=True)
    error = refusal(lambda: plain.open("web01", identity=identity))
    assert error.http_status is None


def test_a_name_that_is_not_on_the_list_is_refused(
    plain: Endpoint, certificate: Certificate
) -> None:
    identity = certificate("stranger", foreign=False)
    assert refusal(lambda: plain.open("web01", identity=identity)).http_status == 403


def test_a_servers_certificate_is_no_gateways(plain: Endpoint) -> None:
    identity = (str(PKI / "servers" / "kvm14.crt"), str(PKI / "servers" / "kvm14.key"))
    assert refusal(lambda: plain.open("web01", identity=identity)).http_status is None


def test_plain_http_hears_nothing(plain: Endpoint) -> None:
    assert refusal(lambda: plain.open("web01", scheme="ws")).http_status is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize(
    ("version", "answered"),
    [(TLSVersion.TLSv1, False), (TLSVersion.TLSv1_1, False), (TLSVersion.TLSv1_2, True)],
)
def test_old_tls_hears_nothing(plain: Endpoint, version: TLSVersion, answered: bool) -> None:
    """Not even an alert: where a handshake fails, asyncio closes without another word."""
    context = ssl.create_default_context(cafile=PKI / "ca.crt")
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    hello = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname=plain.address)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with socket.create_connection((plain.address, 16900), timeout=10) as sock:
        sock.sendall(hello.read())
        assert bool(sock.recv(1)) is answered


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_no_page_may_open_a_console(plain: Endpoint, origin: str) -> None:
    assert refusal(lambda: plain.open("web01", origin=origin)).http_status == 403


@pytest.mark.parametrize(("user", "mode"), [("", "control"), ("kim", ""), ("kim", "root")])
def test_who_and_how_must_be_said(plain: Endpoint, user: str, mode: str) -> None:
    assert refusal(lambda: plain.open("web01", user=user, mode=mode)).http_status == 403


def test_a_vm_that_there_is_not_is_404(plain: Endpoint) -> None:
    assert refusal(lambda: plain.open("web99")).http_status == 404


def test_the_same_is_let_in_when_all_is_right(plain: Endpoint) -> None:
    with plain.open("web01") as stream:
        assert stream.read_exactly(4) == b"RFB "


def test_what_follows_no_handshake_is_refused(plain: Endpoint) -> None:
    headers = {"X-Console-User": "kim", "X-Console-Mode": "control"}
    assert plain.ask("/vm/web01/websockify", **headers)[0] == 400


def test_the_sandbox_is_tight(plain: Endpoint, libvirt: Endpoint) -> None:
    for endpoint in (plain, libvirt):
        endpoint.on.check_output("systemd-analyze security --threshold=15 novnc-endpoint.service")
        user = endpoint.on.check_output(
            "ps -o user:20= -p $(systemctl show -P MainPID novnc-endpoint)"
        )
        assert user == "novnc-endpoint"


def test_a_certificate_that_is_not_there_is_named(plain: Endpoint) -> None:
    error = refusal(lambda: plain.open("web01", identity=("/missing.crt", "/missing.key")))
    assert "cannot load the certificate '/missing.crt'" in str(error)
