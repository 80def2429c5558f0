"""What uninstall.yml leaves: nothing of ours, and all of what others have there. It comes last."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.gateway.visitor import ADDRESS, last_words, name_shown, open_vm
from tests.harness.fleet import Playbook, run_playbook
from tests.lifecycle.test_firewall import FIREWALLS, in_force, rules

LEFT = (
    "find /etc /opt /run /usr/local /var/lib -xdev '(' -name '*novnc*' -o -name nginx.service.d ')'"
    " -not -path '/var/lib/dpkg/*' -not -path /run/novnc-fleet-clean"
)
OTHERS = "/etc/nginx/conf.d/others.conf"
ASK_OTHERS = (
    "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8081\").read())'"
)
APT = "DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends"


def uninstall(*options: str) -> Playbook:
    """Uninstall the gateway."""
    return run_playbook("playbooks/uninstall.yml", "--limit", "novnc_gateways", *options)


def reached() -> set[int]:
    """Return which of the ports let a visitor in; one that is dropped takes its time."""
    found = set()
    for port in (80, 443, 8081):
        try:
            socket.create_connection((ADDRESS, port), timeout=2).close()
        except OSError:
            continue
        found.add(port)
    return found


@pytest.fixture
def others(gateway: Any) -> Iterator[None]:
    """Have a site of others in nginx."""
    gateway.check_output(
        f"echo 'server {{ listen 8081; return 200 others; }}' > {OTHERS} && systemctl reload nginx"
    )
    yield
    gateway.check_output(f"rm {OTHERS}")


@pytest.fixture
def walled(gateway: Any) -> Iterator[str]:
    """Have a firewall that lets nobody in but by ssh; return its rules."""
    gateway.check_output(
        f"iptables-save > /run/test-rules && apt-get -qq update && {APT} install nftables"
    )
    with in_force(gateway, FIREWALLS["nftables"]):
        yield rules(gateway)
    gateway.check_output(f"{APT} purge --autoremove nftables")


def test_what_would_end_others_is_refused(gateway: Any, cookies: dict[str, str]) -> None:
    # Its name stands in our site alone.
    gateway.check_output(f"echo 'map $novnc_name $others {{ default 1; }}' > {OTHERS}")
    try:
        gateway.check_output("nginx -t -q")
        run = uninstall()
        assert run.status == 2
        said = " ".join(run.output.split())
        assert "Nothing was removed from gw2, as its nginx would not start again" in said
        assert 'unknown "novnc_name" variable' in said.replace('\\"', '"')
        assert run.changed == 0
        assert name_shown("db01", cookies["ada"]) == "QEMU (db01)"
    finally:
        gateway.check_output(f"rm {OTHERS}")


@pytest.mark.usefixtures("others")
def test_nothing_is_left_but_what_others_have(
    gateway: Any, cookies: dict[str, str], walled: str
) -> None:
    assert reached() == set()
    assert run_playbook("playbooks/gateway.yml", "--check").changed == 1
    assert (reached(), rules(gateway)) == (set(), walled)
    assert run_playbook("playbooks/gateway.yml").changed == 1
    assert reached() == {80, 443}
    with open_vm("db01", cookies["ada"]) as stream:
        RfbClient(stream).handshake()
        run = uninstall()
        assert run.status == 0, run.output
        assert last_words(stream)
    assert rules(gateway) == walled
    assert gateway.check_output(LEFT) == ""
    listening = gateway.check_output("ss -Htln '( sport = 443 or sport = 80 or sport = 16901 )'")
    assert {line.split()[3] for line in listening.splitlines()} == {"0.0.0.0:80", "[::]:80"}
    sample = gateway.check_output("readlink /etc/nginx/sites-enabled/default")
    assert sample.endswith("/sites-available/default")
    assert "others" in gateway.check_output(ASK_OTHERS)
    assert gateway.run("id novnc-directory").rc != 0
    assert uninstall().changed == 0


@pytest.mark.usefixtures("others")
def test_packages_stay_where_others_need_them(gateway: Any) -> None:
    gateway.check_output(f"{APT} install python3-aiohttp-jinja2")
    run = uninstall("-e", "novnc_uninstall_packages=true")
    assert run.status == 0, run.output
    said = " ".join(run.output.split())
    assert f"nginx stays on gw2: others have made or changed {OTHERS}" in said
    for package in ("python3-aiohttp", "python3-jinja2"):
        assert f"{package} stays on gw2: python3-aiohttp-jinja2 depends on {package}" in said
    assert "others" in gateway.check_output(ASK_OTHERS)
    assert installed(gateway) == {"nginx", "python3-aiohttp", "python3-jinja2"}
    gateway.check_output(f"{APT} purge python3-aiohttp-jinja2")


def test_packages_go_too_where_that_is_asked_for(gateway: Any) -> None:
    run = uninstall("-e", "novnc_uninstall_packages=true")
    assert run.status == 0, run.output
    assert installed(gateway) == set()


def installed(gateway: Any) -> set[str]:
    """Return which of the packages are installed."""
    packages = "nginx novnc python3-aiohttp python3-jinja2"
    told = gateway.run(f"dpkg-query -W -f '${{Package}} ${{db:Status-Abbrev}}\\n' {packages}")
    return {line.split()[0] for line in told.stdout.splitlines() if line.split()[1] == "ii"}
