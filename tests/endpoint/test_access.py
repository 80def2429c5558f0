"""Who is let in: allowed certificates of the right authority, from no page at all."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from ssl import TLSVersion

import pytest
from ansible_collections.novnc.fleet.plugins.plugin_utils import pki
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.endpoint.conftest import GATEWAY, PKI, Endpoint, refusal
from tests.endpoint.test_reload import CERTIFICATES, changed, reload_is_refused
from tests.harness.waiting import wait_until

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
    Authority(PKI).issue([Request("servers/another", "server", ("gateway",))])
    identity = (str(PKI / "servers" / "another.crt"), str(PKI / "servers" / "another.key"))
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


def come_back(endpoint: Endpoint, identity: tuple[str, str]) -> Callable[[], tuple[bool, int]]:
    """Visit, and return what visits again with the same ticket.

    That tells whether the ticket was taken, and the status of the answer.
    """
    context = ssl.create_default_context(cafile=PKI / "ca.crt")
    context.load_cert_chain(*identity)

    def visit(before: ssl.SSLSession | None) -> tuple[ssl.SSLSession, bool, int]:
        line = http.client.HTTPSConnection(endpoint.address)
        with (
            socket.create_connection((endpoint.address, 16900), timeout=10) as sock,
            context.wrap_socket(sock, server_hostname=endpoint.address, session=before) as tls,
        ):
            line.sock = tls
            line.request("GET", "/healthz")
            answer = line.getresponse()
            answer.read()
            assert tls.session
            return tls.session, bool(tls.session_reused), answer.status

    session, resumed, status = visit(None)
    assert (resumed, status) == (False, 200)
    return lambda: visit(session)[1:]


def test_a_ticket_is_good_until_other_certificates_are_in_force(plain: Endpoint) -> None:
    again = come_back(plain, GATEWAY)
    assert again() == (True, 200)
    # Certificates of no use leave those of before in force, and the list is asked all the same.
    with changed(plain, allowed_names=["another"]):
        plain.on.check_output(f"echo rubbish > {CERTIFICATES}/tls.key")
        reload_is_refused(plain)
        assert again() == (True, 403)
    assert again() == (False, 200)


def test_no_ticket_outlasts_its_certificate(
    plain: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pki, "DAYS", 5 / 86400)
    Authority(PKI).issue([Request("brief", "client", ("gateway",))])
    again = come_back(plain, (str(PKI / "brief.crt"), str(PKI / "brief.key")))
    assert again() == (True, 200)
    wait_until(lambda: again() == (True, 403), 30, "a refusal for a certificate that has ended")
