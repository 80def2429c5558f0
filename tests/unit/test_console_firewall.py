"""Which firewall is in force, and what is said of one that fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.firewall import FirewallError
from ansible_collections.novnc.fleet.plugins.modules.console_firewall import Host, make_plans

CHAIN = {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": "input"}
DROPS = {"nftables": [{"chain": {**CHAIN, "policy": "drop"}}]}
NOTHING: dict[str, Any] = {"nftables": []}
RUNS = {"firewall-cmd --state": (0, "running", "")}
REST = {"firewall-cmd --state": (252, "", "not running")}
ACTIVE = {"ufw status": (0, "Status: active\n", "")}
INACTIVE = {"ufw status": (0, "Status: inactive\n", "")}
CHAINS = {"/sbin/nft -j list ruleset": (0, json.dumps(DROPS), "")}
EMPTY = {"/sbin/nft -j list ruleset": (0, json.dumps(NOTHING), "")}

Answers = Mapping[str, tuple[int, str, str]]


class Module:
    """A module on a host where just these commands are known; it has the programs they name."""

    def __init__(self, answers: Answers, **params: Any) -> None:
        self.params = {"state": "present", **params}
        self._answers = answers

    def get_bin_path(self, name: str) -> str | None:
        """Return where a program is, None if it is not there."""
        known = {words.split()[0].rpartition("/")[2] for words in self._answers}
        return f"/sbin/{name}" if name in known else None

    def run_command(self, words: list[str], data: str | None = None) -> tuple[int, str, str]:
        """Return what a command comes to."""
        assert data is None
        return self._answers[" ".join(words)]


@pytest.mark.parametrize(
    ("answers", "firewall"),
    [
        ({}, "none"),
        ({**REST, **INACTIVE, **EMPTY}, "none"),
        (RUNS, "firewalld"),
        ({**RUNS, **ACTIVE, **CHAINS}, "firewalld"),
        ({**REST, **ACTIVE, **CHAINS}, "ufw"),
        ({**REST, **INACTIVE, **CHAINS}, "nftables"),
    ],
)
def test_which_firewall_is_in_force(answers: Answers, firewall: str) -> None:
    assert Host(Module(answers)).firewall == firewall


def test_without_a_firewall_nothing_is_done() -> None:
    host = Host(Module({**REST, **INACTIVE, **EMPTY}))
    assert make_plans(host, ["10.0.0.1:5900"], absent=False, prune=True) == []


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"firewall-cmd --state": (251, "failed", "")}, "'firewall-cmd --state' failed: failed"),
        ({"ufw status": (1, "", "ERROR: no\n")}, "'ufw status' failed: ERROR: no"),
        (
            {"/sbin/nft -j list ruleset": (1, "", "Operation not permitted")},
            "'/sbin/nft -j list ruleset' failed: Operation not permitted",
        ),
    ],
)
def test_a_firewall_that_fails_is_named_with_its_words(answers: Answers, told: str) -> None:
    with pytest.raises(FirewallError) as error:
        Host(Module(answers))
    assert str(error.value) == told


def test_consoles_that_are_not_to_be_pruned_stay_open() -> None:
    mine = 'rule priority="5900" family="ipv4" port port="5900" protocol="tcp" accept'
    zones = (0, f"public\n  interfaces: eth0\n  rich rules: \n\t{mine}\n", "")
    host = Host(
        Module(
            {
                **RUNS,
                "firewall-cmd --list-all-zones": zones,
                "firewall-cmd --permanent --list-all-zones": zones,
                "firewall-cmd --get-default-zone": (0, "public\n", ""),
                "ip -json address": (0, "[]", ""),
            }
        )
    )
    (pruned,) = make_plans(host, [], absent=False, prune=True)
    (kept,) = make_plans(host, [], absent=False, prune=False)
    assert (pruned.closed, kept.changed) == (("0.0.0.0:5900",), False)
