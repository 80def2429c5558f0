"""TLS as visitors meet it: new versions, strong ciphers, and a sentence for who has neither."""

from __future__ import annotations

import socket
import ssl
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.gateway.visitor import ADDRESS, context


def test_tls_is_as_mozilla_has_it(hypervisors: dict[str, Any]) -> None:
    # On Debian 13; the scanner of 12 knows less.
    here = hypervisors["kvm18"]
    install = "apt-get -qq update && apt-get -qq install --no-install-recommends sslscan"
    here.check_output(f"command -v sslscan || {{ {install}; }}")
    # In the order of a scan. Renegotiation it tries with TLS 1.0 alone, so what it says is nothing.
    scan = ET.fromstring(here.check_output(f"sslscan --xml=- {ADDRESS}:443"))  # noqa: S314 (of a program of ours)
    enabled = scan.iterfind(".//protocol[@enabled='1']")
    assert [f"{one.get('type')} {one.get('version')}" for one in enabled] == ["tls 1.2", "tls 1.3"]
    assert values(scan, "fallback", "supported") == {"1"}
    # Debian's OpenSSL has no compression to try.
    assert values(scan, "compression", "supported") <= {"0"}
    assert values(scan, "heartbleed", "vulnerable") == {"0"}
    assert values(scan, "cipher[@sslversion='TLSv1.3']", "cipher") == {
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    }
    assert values(scan, "cipher[@sslversion='TLSv1.2']", "cipher") == {
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    }
    assert values(scan, "group", "name") == {
        "x25519",
        "secp256r1 (NIST P-256)",
        "secp384r1 (NIST P-384)",
    }
    assert values(scan, "pk", "curve_name") == {"prime256v1"}


def values(scan: ET.Element, element: str, attribute: str) -> set[str | None]:
    """Return what the elements of a scan say of something."""
    return {one.get(attribute) for one in scan.iterfind(f".//{element}")}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_old_tls_is_told_so() -> None:
    old = context()
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection((ADDRESS, 443), timeout=10) as sock,
        pytest.raises(ssl.SSLError) as refusal,
    ):
        old.wrap_socket(sock, server_hostname=ADDRESS)
    assert refusal.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"
