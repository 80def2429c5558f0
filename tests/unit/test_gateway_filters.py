"""What is written for a gateway: faults in sentences, accounts, endpoints, script hashes."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.gateway import (
    accounts,
    endpoints,
    faults,
    script_hashes,
)
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import (
    check_password,
    hash_password,
)

from tests.harness.project import ROOT

HASH = hash_password("secret", b"salt of 16 bytes")
ENDPOINTS = {"kvm1": {"address": "192.0.2.2", "port": 16900}}


def found(**changed: Any) -> list[str]:
    """Return the faults of what is written, right but for what is changed."""
    written: dict[str, Any] = {
        "names": ["gw.example.com", "localhost:8443", "192.0.2.1", "[2001:db8::1]", "[::1]:8443"],
        "users": {"kim": {"password_hash": HASH, "groups": ["dba"]}, "ada": {"password": "x"}},
        "rules": [{"match": "db*", "control": ["group:dba"], "watch": ["everyone", "user:kim"]}],
        "admins": ["user:ada", "group:ops"],
        "endpoints": ENDPOINTS,
        "addresses": ["0.0.0.0", "::"],
    }
    return faults({**written, **changed})


def test_what_is_right_has_no_fault() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"names": []}, "novnc_gateway_names is empty"),
        ({"names": ["https://gw"]}, "'https://gw' in novnc_gateway_names is no public name"),
        ({"names": ["gw:0"]}, "'gw:0'"),
        ({"names": ["2001:db8::1"]}, "'2001:db8::1'"),
        ({"names": ['gw";']}, "no public name"),
        ({"addresses": ["eth0"]}, "'eth0' in novnc_gateway_addresses is no IP address"),
        ({"users": {"a b": {}}, "rules": [], "admins": []}, "'a b' in novnc_gateway_users"),
        ({"users": {"ada": "x", "kim": {"password": "x"}}}, "must be a mapping"),
        ({"users": {"ada": {}, "kim": {"password": "x"}}}, "needs password_hash, or password"),
        ({"users": {"ada": {"password": 1}, "kim": {"password": "x"}}}, "no text, or empty"),
        ({"users": {"ada": {"password": "x", "group": 1}, "kim": {"password": "x"}}}, "'group'"),
        (
            {"users": {"ada": {"password_hash": "x"}, "kim": {"password": "x"}}},
            "password hash must",
        ),
        (
            {"users": {"ada": {"password": "x", "groups": "dba"}, "kim": {"password": "x"}}},
            "a list",
        ),
        ({"rules": ["db*"]}, "rule 1 of novnc_gateway_rules must be a mapping"),
        ({"rules": [{}, {"vms": "*"}]}, "rule 2 of novnc_gateway_rules has the unknown key 'vms'"),
        ({"rules": [{"match": 1}]}, "match is 1"),
        ({"rules": [{"control": "everyone"}]}, "write a list"),
        ({"rules": [{"control": ["kim"]}]}, "has 'kim'; write everyone, user:name or group:name"),
        ({"rules": [{"control": ["user:kin"]}]}, "'user:kin', who is not in novnc_gateway_users"),
        ({"admins": ["user:root"]}, "novnc_gateway_admins has 'user:root', who is not"),
        ({"endpoints": {"kvm1": {"address": "kvm1"}}}, "novnc_endpoint_address of kvm1 is 'kvm1'"),
    ],
)
def test_a_fault_is_one_sentence(changed: dict[str, Any], words: str) -> None:
    (fault,) = found(**changed)
    assert words in fault


def test_no_fault_tells_a_password() -> None:
    users = {
        "kim": {"password": "hunter2", "password_hash": "hunter3"},
        "ada": {"password_hash": "hunter4", "groups": [1]},
    }
    assert found(users=users)
    assert "hunter" not in "".join(found(users=users))


def test_plain_passwords_are_hashed_and_always_to_the_same() -> None:
    users: dict[str, dict[str, Any]] = {
        "kim": {"password": "secret", "groups": ["dba"]},
        "ada": {"password": "secret"},
    }
    once, again = (accounts(users, "of the controller's") for _ in range(2))
    assert once == again
    assert once["kim"]["groups"] == ["dba"]
    hashes = {one["password_hash"] for one in once.values()}
    assert len(hashes) == 2
    assert all(check_password("secret", one) for one in hashes)
    assert accounts(users, "another")["kim"] != once["kim"]
    assert accounts({"kim": {"password_hash": HASH}}, "")["kim"]["password_hash"] == HASH


def test_endpoints_are_where_the_inventory_says() -> None:
    hostvars: dict[str, dict[str, Any]] = {
        "kvm1": {"ansible_host": "192.0.2.2"},
        "kvm2": {"ansible_host": "192.0.2.3", "novnc_endpoint_address": "2001:db8::3"},
        "192.0.2.4": {"novnc_endpoint_port": "17000", "novnc_endpoint_certificate_name": "kvm4"},
        "off": {"novnc_endpoint_enabled": "false"},
    }
    assert {
        host: (one["listen"], one["name"]) for host, one in endpoints(hostvars, hostvars).items()
    } == {
        "kvm1": ("192.0.2.2:16900", "kvm1"),
        "kvm2": ("[2001:db8::3]:16900", "kvm2"),
        "192.0.2.4": ("192.0.2.4:17000", "kvm4"),
    }


def test_inline_scripts_have_a_hash_and_no_others() -> None:
    page = (
        '<script src="a.js"></script>\r\n<script type="module">\r\n1\r\n</script><SCRIPT>2</SCRIPT>'
    )
    expected = [base64.b64encode(hashlib.sha256(one).digest()).decode() for one in (b"\n1\n", b"2")]
    assert script_hashes(page) == [f"sha256-{one}" for one in expected]


def test_the_command_hashes_what_comes_on_a_pipe() -> None:
    def ran(text: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / "password-hash")]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=False)

    assert check_password("secret", ran("secret\n").stdout.strip())
    assert (ran("\n").returncode, ran("\n").stdout) == (1, "")
