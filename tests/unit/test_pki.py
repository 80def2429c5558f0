"""The private authority: OpenSSL takes its certificates, and they are renewed in time."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.plugin_utils import pki
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, PkiError, Request
from cryptography import x509

SERVER = Request("servers/kvm1", "server", ("kvm1", "127.0.0.1"))
CLIENT = Request("gateway", "client", ("gateway",))


def issue(directory: Path, *requests: Request, check: bool = False) -> list[str]:
    """Return what a run writes."""
    authority = Authority(directory, check=check)
    authority.issue(requests or (SERVER, CLIENT))
    return authority.written


def greet(directory: Path, *, server: str = "servers/kvm1", client: str = "gateway") -> str:
    """Shake hands over TLS under OpenSSL's strict checks; return the client's name."""
    contexts = []
    for kind, name in ((ssl.PROTOCOL_TLS_SERVER, server), (ssl.PROTOCOL_TLS_CLIENT, client)):
        context = ssl.SSLContext(kind)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(directory / "ca.crt")
        context.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
        contexts.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        contexts[0].wrap_bio(to_server, to_client, server_side=True),
        contexts[1].wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
    ]
    for end in (ends[1], ends[0], ends[1], ends[0]):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    peer = ends[0].getpeercert()
    assert peer is not None
    return str(peer["subjectAltName"][0][1])


def test_openssl_takes_the_certificates_for_what_they_are(tmp_path: Path) -> None:
    issue(tmp_path)
    assert greet(tmp_path) == "gateway"


@pytest.mark.parametrize("ends", [{"client": "servers/kvm1"}, {"server": "gateway"}])
def test_a_certificate_is_good_for_one_end_only(tmp_path: Path, ends: dict[str, str]) -> None:
    issue(tmp_path)
    with pytest.raises(ssl.SSLError):
        greet(tmp_path, **ends)


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    written = ["ca.crt", "ca.key", "gateway.crt", "gateway.key"]
    assert sorted(issue(tmp_path)) == [
        ".gitignore",
        *written,
        "servers/kvm1.crt",
        "servers/kvm1.key",
    ]
    assert issue(tmp_path) == []


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    assert issue(directory, check=True)
    assert not directory.exists()


def test_keys_are_their_owners(tmp_path: Path) -> None:
    issue(tmp_path)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*.key")}
    assert modes == {0o600}


def test_another_name_is_another_certificate(tmp_path: Path) -> None:
    issue(tmp_path)
    moved = Request("servers/kvm1", "server", ("kvm1", "192.0.2.2"))
    assert sorted(issue(tmp_path, moved)) == ["servers/kvm1.crt", "servers/kvm1.key"]


def test_what_is_due_is_renewed_and_what_an_old_authority_signed_stays_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue(tmp_path)
    monkeypatch.setattr(pki, "RENEWED_AT", 1)
    assert "ca.crt" in issue(tmp_path, CLIENT)
    assert greet(tmp_path) == "gateway"


def test_a_certificate_lasts_a_year_and_is_renewed_with_a_third_left(tmp_path: Path) -> None:
    issue(tmp_path)
    cert = x509.load_pem_x509_certificate((tmp_path / "gateway.crt").read_bytes())
    life = cert.not_valid_after_utc - cert.not_valid_before_utc
    assert abs(life - datetime.timedelta(days=365)) < datetime.timedelta(hours=1)
    assert pki.RENEWED_AT == 3


def test_another_authoritys_certificate_is_replaced(tmp_path: Path) -> None:
    issue(tmp_path / "a")
    issue(tmp_path / "b")
    for end in ("crt", "key"):
        (tmp_path / "a" / f"gateway.{end}").replace(tmp_path / "b" / f"gateway.{end}")
    assert sorted(issue(tmp_path / "b", CLIENT)) == ["gateway.crt", "gateway.key"]


def test_rubbish_is_named(tmp_path: Path) -> None:
    issue(tmp_path)
    (tmp_path / "gateway.crt").write_text("rubbish")
    with pytest.raises(PkiError, match=r"gateway\.crt"):
        issue(tmp_path)


def test_an_authority_without_its_key_is_not_replaced(tmp_path: Path) -> None:
    issue(tmp_path)
    before = (tmp_path / "ca.crt").read_bytes()
    (tmp_path / "ca.key").unlink()
    with pytest.raises(PkiError, match=r"ca\.key is not"):
        issue(tmp_path)
    assert (tmp_path / "ca.crt").read_bytes() == before
