"""A certificate of one's own, in place of the private authority's."""

from __future__ import annotations

import http.client
import json
import shlex
import ssl
from pathlib import Path
from typing import Any

from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.gateway.visitor import ADDRESS
from tests.harness.fleet import run_playbook

OWN = json.dumps({
    "novnc_gateway_tls_cert": "/root/own/tls.crt",
    "novnc_gateway_tls_key": "/root/own/tls.key",
})  # fmt: skip


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


def test_it_is_served_and_its_key_need_not_be_readable(gateway: Any, tmp_path: Path) -> None:
    Authority(tmp_path).issue([Request("tls", "server", (ADDRESS,))])
    gateway.check_output("install -d -m 0700 /root/own")
    for name in ("tls.crt", "tls.key"):
        text = shlex.quote((tmp_path / name).read_text())
        gateway.check_output(f"umask 077; printf %s {text} > /root/own/{name}")
    try:
        assert run_playbook("playbooks/gateway.yml", "-e", OWN).status == 0
        assert is_trusted_by(tmp_path / "ca.crt")
        assert run_playbook("playbooks/gateway.yml", "-e", OWN).changed == 0
        metrics = gateway.check_output(
            "python3 -c 'import urllib.request as u;"
            'print(u.urlopen("http://127.0.0.1:16901/metrics").read().decode())\''
        )
        assert 'days_left{certificate="gateway"} 36' in metrics
    finally:
        assert run_playbook("playbooks/gateway.yml").status == 0
    assert not is_trusted_by(tmp_path / "ca.crt")
