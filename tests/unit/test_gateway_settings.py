# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the role writes for the directory, and what it tells of VMs."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import hash_password
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request
from cryptography import x509
from novnc_directory import views
from novnc_directory.certificates import expires, not_after
from novnc_directory.rights import CONTROL
from novnc_directory.settings import Address, Settings, read_settings
from novnc_directory.vms import Listing, Vm

from tests.harness.project import ROOT

HASH = hash_password("x", b"salt of 16 bytes")
WRITTEN: dict[str, Any] = {
    "names": ["Localhost:8443", "gw.example:443", "[2001:db8::1]"],
    "novnc": "/novnc/1.7.0",
    "endpoints": {"kvm1": {"address": "192.0.2.1", "port": 16900, "name": "kvm1.example"}},
    "cert": "/c",
    "key": "/k",
    "ca": "/a",
    "certificates": {"public": "/p"},
    "poll_interval": 3,
    "metrics": "[::1]:16901",
    "control": "/run/control.sock",
    "state": "/var/state.db",
    "session_idle_timeout": 60,
    "session_timeout": 0,
    "max_consoles_per_user": 2,
    "max_consoles_per_vm": 3,
    "rules": [{"match": "db*", "control": ["group:dba"]}],
    "admins": ["user:ada"],
}
USERS: dict[str, Any] = {
    "ada": {"password_hash": HASH},
    "bob": {"password_hash": HASH, "groups": ["dba"]},
}


def read(
    directory: Path, written: dict[str, Any] | None = None, users: dict[str, Any] | None = None
) -> Settings:
    (directory / "users.json").write_text(json.dumps(USERS if users is None else users))
    found = {**WRITTEN, "users": str(directory / "users.json"), **(written or {})}
    (directory / "gateway.json").write_text(json.dumps(found))
    return read_settings(str(directory / "gateway.json"))


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert settings.origins == {
        "https://localhost:8443",
        "https://gw.example",
        "https://[2001:db8::1]",
    }
    assert settings.endpoints == {"kvm1": Address("192.0.2.1", 16900, "kvm1.example")}
    assert settings.metrics == ("::1", 16901)
    bob = settings.accounts["bob"]
    assert settings.rights.may(bob, "kvm1", "db1") == CONTROL
    assert settings.rights.is_admin(settings.accounts["ada"])


@pytest.mark.parametrize(
    ("written", "users", "said"),
    [
        ({"names": ["gw/x"]}, None, "'gw/x'"),
        ({"names": []}, None, "no public name"),
        ({"rules": [{"match": "*", "watch": "everyone"}]}, None, "must be a list"),
        ({"endpoints": {"kvm1": {"address": "kvm1", "port": 1, "name": "x"}}}, None, "'kvm1'"),
        ({}, {"bob": {"password_hash": "hunter2"}}, "the account 'bob'"),
        ({}, {"bob\n": {"password_hash": HASH}}, "must have a name"),
        ({}, {"": {"password_hash": HASH}}, "must have a name"),
        ({}, {"bob": {"password_hash": HASH, "groups": "dba"}}, "a list of groups"),
    ],
)
def test_what_cannot_be_right_is_refused(
    tmp_path: Path, written: dict[str, Any], users: dict[str, Any] | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as error:
        read(tmp_path, written, users)
    assert "hunter2" not in str(error.value)


def test_the_end_of_a_certificate_is_found(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue([Request("gw", "server", ("gw", "192.0.2.1"))])
    for name in ("gw", "ca"):
        path = tmp_path / f"{name}.crt"
        cert = x509.load_pem_x509_certificate(path.read_bytes())
        assert expires(str(path)) == cert.not_valid_after_utc.timestamp()


def test_ends_far_off_are_written_otherwise() -> None:
    # RFC 5280, 4.1.2.5: from 2050 on as GeneralizedTime, with four digits of the year.
    def value(tag: int, *content: bytes) -> bytes:
        data = b"".join(content)
        return bytes([tag, len(data)]) + data

    validity = value(0x30, value(0x17, b"261122000000Z"), value(0x18, b"20511122000000Z"))
    signed = value(0x30, *[value(0x30)] * 3, validity)
    expected = datetime.datetime(2051, 11, 22, tzinfo=datetime.UTC)
    assert not_after(value(0x30, signed)) == expected.timestamp()


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x00", b"\x30\x82\xff", b"rubbish" * 9])
def test_what_is_no_certificate_has_no_end(der: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        not_after(der)


WEB = Vm("kvm1", "zwei Wörter", "0c0ffee0-0000-4000-8000-000000000000", "Web", "running")


def test_a_console_is_told_with_whole_addresses_or_with_paths() -> None:
    listing = Listing([WEB])
    assert views.console(WEB, listing, "watch", "gw:8443") == {
        "host": "kvm1",
        "vm": "zwei Wörter",
        "uuid": WEB.uuid,
        "title": "Web",
        "state": "running",
        "url": "https://gw:8443/vm/zwei%20W%C3%B6rter/",
        "websocket": "wss://gw:8443/vm/zwei%20W%C3%B6rter/websockify",
        "may": "watch",
    }
    assert views.console(WEB, listing, "watch")["url"] == "/vm/zwei%20W%C3%B6rter/"


def test_only_who_may_control_learns_who_looks() -> None:
    viewers = {WEB.uuid: [{"user": "kim", "mode": "watch"}]}
    told = views.console(WEB, Listing([WEB]), "watch")
    assert "viewers" not in views.with_viewers(told, viewers)
    assert views.with_viewers({**told, "may": "control"}, viewers)["viewers"] == viewers[WEB.uuid]


@pytest.mark.parametrize(
    ("state", "age", "silent", "said"),
    [
        ("running", 1.0, False, ""),
        ("off", 1.0, False, "zwei Wörter is switched off."),
        ("unknown", 40.4, True, "kvm1 has been silent for 40 s"),
        ("unknown", None, True, "kvm1 has not answered yet"),
    ],
)
def test_why_a_console_cannot_be_shown(
    state: str, age: float | None, silent: bool, said: str
) -> None:
    vm = Vm("kvm1", WEB.name, WEB.uuid, "", state)
    assert views.sentence(vm, age, silent).startswith(said)
    assert bool(views.sentence(vm, age, silent)) == bool(said)


def test_browsers_may_have_what_there_is_of_the_portals() -> None:
    role = ROOT / "roles" / "novnc_gateway"
    listed = yaml.safe_load((role / "vars" / "main.yml").read_text())["_novnc_gateway_portal"]
    assert listed == sorted(file.name for file in (role / "files" / "portal").iterdir())
