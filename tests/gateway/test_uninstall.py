"""What uninstall.yml leaves: nothing of ours, and all of what others have there. It comes last."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.gateway.visitor import ADDRESS, last_words, open_vm
from tests.harness.fleet import run_playbook

LEFT = (
    "find /etc /opt /run /usr/local /var/lib -xdev -name '*novnc*'"
    " -not -path '/var/lib/dpkg/*' -not -path /run/novnc-fleet-clean"
)


def test_nothing_is_left_but_what_others_have(gateway: Any, cookies: dict[str, str]) -> None:
    gateway.check_output(
        "echo 'server { listen 8081; return 200 others; }' > /etc/nginx/conf.d/others.conf"
        " && systemctl reload nginx"
    )
    with open_vm("db01", cookies["ada"]) as stream:
        RfbClient(stream).handshake()
        run = run_playbook("playbooks/uninstall.yml", "--limit", "novnc_gateways")
        assert run.status == 0, run.output
        assert last_words(stream)
    assert gateway.check_output(LEFT) == ""
    for port in (80, 443):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((ADDRESS, port), timeout=10)
    others = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8081\").read())'"
    assert "others" in gateway.check_output(others)
    gateway.check_output("rm /etc/nginx/conf.d/others.conf")
    assert gateway.run("id novnc-directory").rc != 0
    assert run_playbook("playbooks/uninstall.yml", "--limit", "novnc_gateways").changed == 0


def test_packages_go_too_where_that_is_asked_for(gateway: Any) -> None:
    options = ("--limit", "novnc_gateways", "-e", "novnc_uninstall_packages=true")
    run = run_playbook("playbooks/uninstall.yml", *options)
    assert run.status == 0, run.output
    packages = "dpkg-query -W -f '${Package} ${db:Status-Abbrev}\\n' nginx novnc python3-aiohttp"
    assert " ii" not in gateway.run(packages).stdout
