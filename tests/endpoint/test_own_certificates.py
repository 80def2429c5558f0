"""Certificates of an administrator's own, and what a run shows of keys."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.endpoint.conftest import GATEWAY, PKI, Endpoint, refusal
from tests.harness.fleet import Playbook, run_playbook
from tests.harness.project import ROOT
from tests.harness.waiting import wait_until

PLACE = "/etc/ssl/own"
OWN = {
    "novnc_endpoint_cert": f"{PLACE}/endpoint.crt",
    "novnc_endpoint_key": f"{PLACE}/endpoint.key",
    "novnc_endpoint_ca": f"{PLACE}/ca.crt",
}


def converge(*options: str) -> Playbook:
    run = run_playbook(ROOT / "playbooks" / "consoles.yml", "--limit", "kvm14", *options)
    assert run.status == 0, run.output
    return run


def issue(authority: Path, endpoint: Endpoint) -> None:
    """Make what is missing of an authority's certificates, and put the endpoint's on its host."""
    names = ("kvm14", endpoint.address)
    gateway = Request("gateway", "client", ("gateway",))
    Authority(authority).issue([Request("endpoint", "server", names), gateway])
    for file in OWN.values():
        content = (authority / Path(file).name).read_text()
        endpoint.on.check_output(f"install -D -m 0600 /dev/stdin {file} <<'END'\n{content}END")


@pytest.fixture
def authority(plain: Endpoint, tmp_path: Path) -> Iterator[Path]:
    """Bring an authority's certificates to the host, and have the project's again afterwards."""
    issue(tmp_path, plain)
    yield tmp_path
    converge()
    plain.on.check_output(f"rm -r {PLACE}")


def test_own_certificates_are_used(plain: Endpoint, authority: Path) -> None:
    use_own = ("-e", json.dumps(OWN))
    assert converge(*use_own).changed > 0
    assert converge(*use_own).changed == 0
    own_gateway = (str(authority / "gateway.crt"), str(authority / "gateway.key"))
    with plain.open("web01", authority=authority, identity=own_gateway) as stream:
        assert RfbClient(stream).handshake().name == "QEMU (web01)"
    # One authority for both directions: the project's is neither believed nor spoken for.
    foreign = refusal(lambda: plain.open("web01", authority=authority, identity=GATEWAY))
    assert foreign.http_status is None
    with pytest.raises(HopError, match="certificate"):
        plain.open("web01", authority=PKI, identity=own_gateway)

    renewed = authority / "endpoint.crt"
    renewed.unlink()
    issue(authority, plain)
    assert certificate(plain) != renewed.read_text()
    plain.on.check_output("systemctl reload novnc-endpoint")
    wait_until(lambda: certificate(plain) == renewed.read_text(), 30, "the renewed certificate")


def certificate(endpoint: Endpoint) -> str:
    """Return the certificate that an endpoint shows, as PEM."""
    return ssl.get_server_certificate((endpoint.address, 16900), timeout=10)


def test_some_of_the_three_are_refused(plain: Endpoint) -> None:
    run = run_playbook(
        *(ROOT / "playbooks" / "consoles.yml", "--limit", "kvm14"),
        *("-e", f"novnc_endpoint_cert={PLACE}/endpoint.crt"),
    )
    assert run.status == 2, run.output
    assert "belong together; write all or none" in run.output
    assert run.changed == 0
    with plain.open("web01") as stream:
        assert RfbClient(stream).handshake().name == "QEMU (web01)"


def test_no_run_shows_a_key(plain: Endpoint) -> None:
    for file in ("endpoint/tls.key", "endpoint.json"):
        plain.on.check_output(f"echo other > /etc/novnc-fleet/{file}")
    key = (PKI / "servers" / "kvm14.key").read_text().splitlines()
    for options in (("--check", "--diff"), ("--diff",)):
        shown = converge(*options).output
        assert "/etc/novnc-fleet/endpoint/tls.key (mode 0600): secret" in shown
        assert "+++ after" in shown, "without it, nothing is shown of anything"
        assert [line for line in key if line in shown] == []
    journal = plain.on.check_output("journalctl --no-pager")
    assert "ansible-" in journal, "modules write there"
    assert [line for line in key if line in journal] == []
