"""A certificate of one's own, in place of the private authority's."""

from __future__ import annotations

import http.client
import json
import shlex
import ssl
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.plugin_utils import pki as pki_utils
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.gateway.conftest import metrics
from tests.gateway.visitor import ADDRESS
from tests.harness.fleet import run_playbook
from tests.harness.waiting import wait_until

OWN = json.dumps({
    "novnc_gateway_tls_cert": "/root/own/tls.crt",
    "novnc_gateway_tls_key": "/root/own/tls.key",
})  # fmt: skip


DAYS_LEFT = 'certificate_days_left{certificate="gateway"}'


def put(gateway: Any, pki: Path) -> None:
    """Put a new certificate of an authority, and its key, where the gateway has its own."""
    Authority(pki).issue([Request("tls", "server", (ADDRESS,))])
    for name in ("tls.crt", "tls.key"):
        text = shlex.quote((pki / name).read_text())
        gateway.check_output(f"umask 077; printf %s {text} > /root/own/{name}")


def is_trusted_by(ca: Path) -> bool:
    """Tell whether a browser that knows one authority takes the gateway's certificate."""
    context = ssl.create_default_context(cafile=ca)
    line = http.client.HTTPSConnection(ADDRESS, context=context, timeout=30)
    try:
        line.request("GET", "/healthz")
        return line.getresponse().status == 200
    except ssl.SSLCertVerificationError:
        return False
    finally:
        line.close()


def test_it_is_served_its_key_need_not_be_readable_and_it_is_renewed(
    gateway: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.check_output("install -d -m 0700 /root/own")
    old, new = tmp_path / "old", tmp_path / "new"
    for pki in (old, new):
        pki.mkdir()
    put(gateway, old)
    try:
        run = run_playbook("playbooks/gateway.yml", "-e", OWN)
        assert run.status == 0, run.output
        assert is_trusted_by(old / "ca.crt")
        assert run_playbook("playbooks/gateway.yml", "-e", OWN).changed == 0
        assert 360 < metrics(gateway)[DAYS_LEFT] < 370
        # What whoever renews it does.
        monkeypatch.setattr(pki_utils, "DAYS", 90)
        put(gateway, new)
        gateway.check_output("systemctl reload nginx novnc-directory")
        wait_until(lambda: is_trusted_by(new / "ca.crt"), 60, "the new certificate")
        wait_until(
            lambda: 89 <= metrics(gateway)[DAYS_LEFT] < 91,
            60,
            "the days of the new certificate",
        )
    finally:
        assert run_playbook("playbooks/gateway.yml").status == 0
    assert not is_trusted_by(new / "ca.crt")
