"""Visitors come through the host's firewall to the consoles, and to nothing else."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness.fleet import Playbook, hosts, run_playbook
from tests.harness.project import ROOT
from tests.lifecycle.conftest import UNITS, VMS, converge

CONSOLES = ROOT / "playbooks" / "consoles.yml"
UNINSTALL = ROOT / "playbooks" / "uninstall.yml"
OTHER_PORT = 9999

NFTABLES_CONF = """\
flush ruleset
table inet host {
  chain services { tcp dport 22 accept; reject; }
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    jump services
  }
}
"""


@dataclass(frozen=True)
class Firewall:
    """A firewall, and the commands with which an administrator has it on the host.

    Attributes:
        start: From a host without any to one that lets nothing in but ssh.
        reloads: Each loads the firewall's settings anew.
        lose: Takes away what lets a visitor into port 5900.
        stop: Back to a host without any.
    """

    start: str
    reloads: tuple[str, ...]
    lose: str
    stop: str


FIREWALLS = {
    "firewalld": Firewall(
        # It is up when it can be asked, which is a moment after systemd says so.
        "systemctl start firewalld && firewall-cmd --state",
        ("firewall-cmd --reload", "systemctl restart firewalld && firewall-cmd --state"),
        "rule=$(firewall-cmd --list-rich-rules) &&"
        ' firewall-cmd --remove-rich-rule="$rule" &&'
        ' firewall-cmd --permanent --remove-rich-rule="$rule"',
        "systemctl stop firewalld",
    ),
    "ufw": Firewall(
        "ufw allow 22/tcp && ufw --force enable",
        ("ufw reload", "systemctl restart ufw"),
        "number=$(ufw status numbered | sed -n 's/^\\[ *\\([0-9]*\\)\\].* 5900.*/\\1/p');"
        ' ufw --force delete "$number"',
        "ufw --force reset && rm /etc/ufw/*.rules.*",
    ),
    "nftables": Firewall(
        f"printf '%s' '{NFTABLES_CONF}' > /etc/nftables.conf && systemctl enable --now nftables",
        ("systemctl reload nftables", "systemctl restart nftables"),
        "nft -f /etc/nftables.conf",
        "systemctl disable --now nftables",
    ),
}


@pytest.fixture(scope="module")
def installed() -> Iterator[Any]:
    """Install the firewalls' packages, none of them in force, and remove them at the end."""
    host = hosts()["kvm3"]
    packages = "firewalld nftables ufw"
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends"
    # The network's name server is reached by rules that nftables flushes with all others.
    host.check_output("iptables-save > /run/test-rules")
    host.check_output(f"apt-get -qq update && {apt} install {packages}")
    host.check_output("systemctl disable --now firewalld")
    yield host
    host.check_output(f"{apt} purge --autoremove {packages} && rm -rf /etc/ufw /etc/firewalld")


@contextmanager
def in_force(host: Any, firewall: Firewall) -> Iterator[None]:
    """Have a firewall in force for a while."""
    try:
        host.check_output(firewall.start)
        yield
    finally:
        host.check_output(firewall.stop)
        host.check_output("nft flush ruleset; iptables-restore < /run/test-rules")


@contextmanager
def listening(host: Any, port: int) -> Iterator[None]:
    """Have something that is no console listen at a port."""
    unit, address = f"test-listener-{port}", host.backend.host.name
    server = f"python3 -m http.server --bind {address} {port}"
    host.check_output(f"systemd-run --quiet --unit={unit} {server}")
    try:
        host.check_output(
            f"for i in $(seq 50); do ss -Htln | grep -q '{address}:{port} ' && exit 0;"
            " sleep 0.1; done; exit 1"
        )
        yield
    finally:
        host.check_output(f"systemctl stop {unit}")


def lets_in(host: Any) -> set[int]:
    """Return to which ports of the consoles, and the one that is none, TCP gets from here."""

    def open_port(port: int) -> set[int]:
        try:
            socket.create_connection((host.backend.host.name, port), timeout=2).close()
        except OSError:
            return set()
        return {port}

    # All at once, as one that is dropped takes all the time there is.
    with ThreadPoolExecutor() as pool:
        return set().union(*pool.map(open_port, (5900, 5901, 5902, OTHER_PORT)))


def rules(host: Any) -> str:
    """Return all rules of the kernel, without what they have counted."""
    listed = host.check_output("nft list ruleset 2>/dev/null")
    return re.sub(r"packets \d+ bytes \d+", "", listed)


def changed(run: Playbook) -> int:
    """Return how many tasks of a run that went well changed something."""
    assert run.status == 0, run.output
    return run.changed


@pytest.mark.parametrize("kind", FIREWALLS)
def test_consoles_are_let_through_and_nothing_else(installed: Any, kind: str) -> None:
    host, firewall = installed, FIREWALLS[kind]
    with listening(host, OTHER_PORT):
        assert lets_in(host) == {5900, 5901, 5902, OTHER_PORT}
        with in_force(host, firewall):
            before = rules(host)
            assert lets_in(host) == set()

            checked = run_playbook(UNITS, "--check")
            assert (changed(checked), rules(host)) == (1, before)
            assert changed(run_playbook(CONSOLES)) == 1
            assert lets_in(host) == {5900, 5901, 5902}
            assert changed(converge(VMS)) == 0

            for reload in firewall.reloads:
                host.check_output(reload)
                assert lets_in(host) == {5900, 5901, 5902}, reload

            host.check_output(firewall.lose)
            assert 5900 not in lets_in(host)
            assert changed(converge(VMS)) == 1
            assert lets_in(host) == {5900, 5901, 5902}

            assert changed(converge({"one": 5900, "two": 5901})) == 2
            with listening(host, 5902):
                assert lets_in(host) == {5900, 5901}

            try:
                changed(run_playbook(UNINSTALL))
                assert rules(host) == before
                with listening(host, 5900):
                    assert lets_in(host) == set()
            finally:
                back = run_playbook(CONSOLES, "-e", "novnc_console_firewall=none")
            assert changed(back)
            assert (rules(host), lets_in(host)) == (before, set())
