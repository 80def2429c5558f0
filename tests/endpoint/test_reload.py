"""What a reload brings into force, and what it says when something of it cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.endpoint.conftest import Endpoint, last_words
from tests.harness.fleet import run_playbook
from tests.harness.project import ROOT

SETTINGS = "/etc/novnc-fleet/endpoint.json"
CERTIFICATES = "/etc/novnc-fleet/endpoint"
RELOAD = "systemctl reload novnc-endpoint"


@contextmanager
def changed(endpoint: Endpoint, **settings: Any) -> Iterator[None]:
    """Have other settings on a host, and those of before in the end."""
    endpoint.on.check_output(
        f"cp -a {SETTINGS} /run/endpoint.json.kept; cp -a {CERTIFICATES} /run/endpoint.kept"
    )
    now = {**json.loads(endpoint.on.file(SETTINGS).content_string), **settings}
    try:
        endpoint.on.check_output(f"cat > {SETTINGS} <<'END'\n{json.dumps(now)}\nEND")
        yield
    finally:
        endpoint.on.check_output(
            f"mv /run/endpoint.json.kept {SETTINGS}; rm -r {CERTIFICATES};"
            f" mv /run/endpoint.kept {CERTIFICATES}; {RELOAD}"
        )


def reload_is_refused(endpoint: Endpoint) -> str:
    """Reload in vain; return what the journal has of it."""
    cursor = endpoint.on.check_output("journalctl -n 0 --show-cursor").split("cursor: ")[1]
    assert endpoint.on.run(RELOAD).rc != 0
    return str(
        endpoint.on.check_output(
            f"journalctl --sync; journalctl -u novnc-endpoint -o cat --after-cursor='{cursor}'"
        )
    )


@pytest.mark.parametrize("damage", ["echo rubbish >", "rm"])
@pytest.mark.parametrize("file", ["tls.key", "tls.crt", "ca.crt"])
def test_a_certificate_of_no_use_fails_the_reload_and_no_console(
    plain: Endpoint, damage: str, file: str
) -> None:
    with changed(plain), plain.open("web01") as before:
        RfbClient(before).handshake()
        plain.on.check_output(f"{damage} {CERTIFICATES}/{file}")
        said = reload_is_refused(plain)
        assert "the endpoint cannot work: OSError: the " in said
        assert '"event": "reload-failed"' in said
        with plain.open("web01") as stream:
            assert RfbClient(stream).handshake().name == "QEMU (web01)"
        assert len(plain.sessions()) == 1


def test_a_name_that_is_off_the_list_is_out_even_then(plain: Endpoint) -> None:
    with plain.open("web01") as stream:
        RfbClient(stream).handshake()
        with changed(plain, allowed_names=["another"]):
            plain.on.check_output(f"echo rubbish > {CERTIFICATES}/tls.key")
            reload_is_refused(plain)
            assert "the certificate of gateway is no longer on the list" in last_words(stream)
            assert plain.ask("/healthz")[0] == 403
        assert plain.ask("/healthz")[0] == 200


def test_what_a_run_has_written_before_it_died_the_next_brings_into_force(plain: Endpoint) -> None:
    with changed(plain):
        plain.on.check_output(f'sed -i \'s/"gateway"/"another"/\' {SETTINGS}')
        assert plain.ask("/healthz")[0] == 200
        names = json.dumps({"novnc_endpoint_allowed_names": ["another"]})
        run = run_playbook(ROOT / "playbooks" / "consoles.yml", "--limit", "kvm14", "-e", names)
        assert run.status == 0, run.output
        assert plain.ask("/healthz")[0] == 403
    assert plain.ask("/healthz")[0] == 200


def test_a_monitor_that_was_named_is_asked_after_a_reload(plain: Endpoint) -> None:
    with changed(plain, host="renamed", qmp={"ghost": "/run/no.qmp"}):
        plain.on.check_output(RELOAD)
        found = json.loads(plain.ask("/consoles.json")[1])
        assert {one["host"] for one in found} == {"renamed"}
        assert {one["vm"]: one["state"] for one in found}["ghost"] == "off"


def test_settings_that_cannot_be_read_change_nothing(plain: Endpoint) -> None:
    with changed(plain):
        plain.on.check_output(f"echo '{{' > {SETTINGS}")
        assert "JSONDecodeError" in reload_is_refused(plain)
        assert plain.ask("/healthz")[0] == 200
