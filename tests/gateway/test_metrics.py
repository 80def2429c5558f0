"""What the gateway counts, for Prometheus."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from cryptography import x509

from tests.gateway.conftest import FLEET, metrics
from tests.gateway.visitor import ADDRESS, CA, cookie_of, log_in, open_vm
from tests.harness.waiting import wait_until

OPEN = {mode: f'sessions{{mode="{mode}"}}' for mode in ("control", "watch")}
SUCCEEDED, FAILED = (f'logins_total{{outcome="{one}"}}' for one in ("succeeded", "failed"))


def test_log_ins_and_consoles_are_counted(gateway: Any, cookies: dict[str, str]) -> None:
    assert cookies  # so that the VMs are there

    def nobody_looks() -> bool:
        return not any(metrics(gateway)[name] for name in OPEN.values())

    wait_until(nobody_looks, 60, "the end of what others have opened")
    before = metrics(gateway)
    assert log_in("wim", "a wrong one").status == 401
    cookie = cookie_of(log_in("wim"))
    with open_vm("db01", cookie) as watches, open_vm("mixed01", cookie) as controls:
        for stream in (watches, controls):
            RfbClient(stream).handshake()
        during = metrics(gateway)
    wait_until(nobody_looks, 60, "the end of both consoles")
    after = metrics(gateway)
    totals = {SUCCEEDED: 1, FAILED: 1, "sessions_total": 2}
    assert {name: during[name] - before[name] for name in totals} == totals
    assert {name: after[name] - before[name] for name in totals} == totals
    assert [during[name] for name in OPEN.values()] == [1, 1]


@pytest.mark.parametrize("host", FLEET)
def test_an_answers_age_grows_until_there_is_another(gateway: Any, host: str) -> None:
    def age() -> float:
        return metrics(gateway)[f'endpoint_age_seconds{{host="{host}"}}']

    # An endpoint is asked every three seconds.
    for _ in range(2):
        wait_until(lambda: age() < 1.5, 30, "a new answer")
        wait_until(lambda: age() > 1.5, 30, "the same answer, older")
    assert metrics(gateway)[f'endpoint_silent{{host="{host}"}}'] == 0


def test_vms_are_counted_and_so_are_days(gateway: Any, cookies: dict[str, str]) -> None:
    assert cookies  # so that the VMs are there
    found = metrics(gateway)
    assert found['consoles{state="running"}'] >= sum(sum(vms.values()) for vms in FLEET.values())
    served = ssl.get_server_certificate((ADDRESS, 443), ca_certs=CA)
    certificate = x509.load_pem_x509_certificate(served.encode())
    left = (certificate.not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)
    assert abs(found['certificate_days_left{certificate="gateway"}'] - left) < 0.1


def test_they_are_on_loopback_only(gateway: Any) -> None:
    assert "127.0.0.1:16901" in gateway.check_output("ss -Htln")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((ADDRESS, 16901), timeout=10)
