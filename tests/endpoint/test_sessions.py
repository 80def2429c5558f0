"""What a visitor sees, for how long, and what is written down about it."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.websocket import UpgradeError
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

from tests.endpoint.conftest import PKI, Endpoint, last_words, refusal
from tests.endpoint.test_drained import ended
from tests.endpoint.test_own_certificates import certificate
from tests.endpoint.test_reload import CERTIFICATES, changed
from tests.harness.fleet import background
from tests.harness.waiting import wait_until


def test_all_vms_are_found(plain: Endpoint, libvirt: Endpoint) -> None:
    for endpoint, names in (
        (plain, {"web01": "running", "db01": "running", "flood": "off"}),
        (libvirt, {"red": "running", "two words": "running", "locked": "running",
                   "socket": "running", "stopped": "off"}),
    ):  # fmt: skip
        found = json.loads(endpoint.ask("/consoles.json")[1])
        assert {one["vm"]: one["state"] for one in found} == names


@pytest.mark.parametrize("vm", ["red", "two words", "socket"])
@pytest.mark.parametrize("mode", ["control", "watch"])
def test_a_domain_is_shown_by_name(libvirt: Endpoint, vm: str, mode: str) -> None:
    with libvirt.open(vm, mode=mode) as stream:
        assert RfbClient(stream).handshake().name == f"QEMU ({vm})"


def test_a_vm_is_shown_by_uuid_too(libvirt: Endpoint) -> None:
    uuid = libvirt.on.check_output("virsh domuuid red")
    with libvirt.open(uuid) as stream:
        assert RfbClient(stream).handshake().name == "QEMU (red)"


@pytest.mark.parametrize("vm", ["web01", "db01"])
def test_a_vm_of_plain_qemu_is_shown(plain: Endpoint, vm: str) -> None:
    with plain.open(vm) as stream:
        assert RfbClient(stream).handshake().name == f"QEMU ({vm})"


def test_a_vm_that_is_off_is_said_to_be(libvirt: Endpoint) -> None:
    with libvirt.open("stopped") as stream:
        with pytest.raises(HopError) as refused:
            RfbClient(stream).handshake()
        words = last_words(stream)
    assert "stopped is switched off" in str(refused.value)
    assert "code 1011 'stopped is switched off'" in words


def test_libvirt_that_does_not_answer_is_a_sentence(libvirt: Endpoint) -> None:
    libvirt.on.check_output("kill -STOP $(pgrep -x libvirtd)")
    try:
        with libvirt.open("stopped", timeout=40) as stream, pytest.raises(HopError) as refused:
            RfbClient(stream).handshake()
        assert refused.value.hop == "refused"
        assert "libvirt" in str(refused.value)
    finally:
        libvirt.on.check_output("kill -CONT $(pgrep -x libvirtd)")


def test_a_session_ends_with_its_vm_and_says_why(libvirt: Endpoint) -> None:
    with libvirt.open("red") as stream:
        RfbClient(stream).handshake()
        libvirt.on.check_output("virsh destroy red")
        words = last_words(stream)
    libvirt.on.check_output("virsh start red")
    assert "code 1001" in words
    assert "red closed the connection: the VM was switched off, restarted or moved" in words


def test_the_17th_visitor_of_a_vm_is_turned_away_and_others_are_not(libvirt: Endpoint) -> None:
    with ExitStack() as stack:
        for _ in range(16):
            RfbClient(stack.enter_context(libvirt.open("red"))).handshake()
        full = refusal(lambda: libvirt.open("red"))
        assert isinstance(full, UpgradeError)
        # By the latter a check tells it from a fault.
        assert (full.http_status, full.retry_after) == (503, 60)
        with libvirt.open("socket") as stream:
            assert RfbClient(stream).handshake().name == "QEMU (socket)"


def test_a_session_is_listed_ended_and_written_down(plain: Endpoint) -> None:
    with plain.open("web01", user="kim lee", mode="watch") as stream:
        RfbClient(stream).handshake()
        (listed,) = [one for one in plain.sessions() if one["user"] == "kim lee"]
        answer = plain.ask(f"/sessions/{listed['session']}", "DELETE", **{"X-Console-User": "boss"})
        assert answer[0] == 204
        assert "ended by boss" in last_words(stream)
    start, end = plain.journal(listed["session"])
    assert (start["event"], end["event"]) == ("session-start", "session-end")
    assert set(end) == {
        "event", "session", "vm", "uuid", "user", "client", "mode",
        "bytes_in", "bytes_out", "seconds", "reason",
    }  # fmt: skip
    assert (end["vm"], end["mode"], end["reason"]) == ("web01", "watch", "ended by boss")
    assert end["bytes_out"] > 30


def test_who_takes_nothing_is_let_go_and_costs_nobody_anything(plain: Endpoint) -> None:
    source = (Path(__file__).parent / "flood.py").read_text()
    plain.on.check_output(f"cat > /run/flood.py <<'END'\n{source}END")
    plain.on.check_output("systemd-run --unit=flood python3 /run/flood.py")
    try:
        flood = plain.on.socket("tcp://127.0.0.1:5990")
        wait_until(lambda: flood.is_listening, 30, "the flood")
        before = memory(plain)
        with plain.open("flood") as stalled, plain.open("web01") as stream:
            assert RfbClient(stalled).handshake().name == "FLOOD"
            stalled.send(b"\x03" + bytes(9))  # FramebufferUpdateRequest
            other = RfbClient(stream)
            other.handshake()
            (listed,) = [one for one in plain.sessions() if one["vm"] == "flood"]
            used = []

            def let_go() -> bool:
                background(other)
                used.append(memory(plain))
                return [one["vm"] for one in plain.sessions()] == ["web01"]

            wait_until(let_go, 60, "the end of who takes nothing")
            assert max(used) - before < 16 * 1024
        assert (
            plain.journal(listed["session"])[1]["reason"] == "the visitor has taken nothing for 5 s"
        )
    finally:
        plain.on.check_output("systemctl stop flood")


def memory(endpoint: Endpoint) -> int:
    """Return how many KiB an endpoint's process has in memory."""
    pid = endpoint.on.check_output("systemctl show -P MainPID novnc-endpoint")
    return int(endpoint.on.check_output(f"ps -o rss= -p {pid}"))


def test_metrics_count(plain: Endpoint) -> None:
    with plain.open("web01") as stream:
        RfbClient(stream).handshake()
        status, text = plain.ask("/metrics")
    assert status == 200
    assert 'novnc_endpoint_sessions{mode="control"} 1\n' in text


def counters(endpoint: Endpoint) -> Counter[str]:
    """Return the sums among an endpoint's metrics, once nobody has a console open."""
    wait_until(lambda: endpoint.sessions() == [], 30, "the end of all sessions")
    text = endpoint.ask("/metrics")[1]
    found = re.findall(r"^novnc_endpoint_(\w+_total(?:{\S+})?) (\d+)$", text, re.MULTILINE)
    return Counter({name: int(value) for name, value in found})


def test_what_is_done_is_counted(plain: Endpoint) -> None:
    before, last = counters(plain), ended(plain)["last"]
    with plain.open("web01") as stream:
        RfbClient(stream).handshake()
    assert refusal(lambda: plain.open("web99")).http_status == 404
    for _ in range(2):
        assert refusal(lambda: plain.open("web01", mode="root")).http_status == 403
    after = counters(plain)
    (told,) = ended(plain, last)["sessions"]
    assert told["bytes_in"] == len(b"RFB 003.008\n") + 2  # and the choice of no login, ClientInit
    assert told["bytes_out"] > told["bytes_in"]
    assert after - before == Counter(
        {
            "sessions_total": 1,
            'bytes_total{direction="in"}': told["bytes_in"],
            'bytes_total{direction="out"}': told["bytes_out"],
            'refusals_total{status="404"}': 1,
            'refusals_total{status="403"}': 2,
        }
    )


@pytest.mark.parametrize("action", ["reload", "restart"])
def test_sessions_outlive_a_new_certificate_and_another_process(
    plain: Endpoint, action: str
) -> None:
    with changed(plain), plain.open("web01", timeout=120) as stream:
        client = RfbClient(stream)
        client.handshake()
        before = background(client)
        renewed = renew(plain)
        assert certificate(plain) != renewed
        plain.on.check_output(f"systemctl {action} novnc-endpoint")
        wait_until(lambda: certificate(plain) == renewed, 30, "the renewed certificate")
        with plain.open("web01") as another:
            assert RfbClient(another).handshake().name == "QEMU (web01)"
        assert background(client) == before
    running = "pgrep -c -u novnc-endpoint"
    wait_until(lambda: bool(plain.on.check_output(running) == "1"), 30, "the old process is gone")


def renew(endpoint: Endpoint) -> str:
    """Put another certificate of the same authority where the endpoint has its own; return it."""
    for suffix in ("crt", "key"):
        (PKI / f"renewed.{suffix}").unlink(missing_ok=True)
    Authority(PKI).issue([Request("renewed", "server", ("kvm14", endpoint.address))])
    for suffix in ("crt", "key"):
        content = (PKI / f"renewed.{suffix}").read_text()
        file = f"{CERTIFICATES}/tls.{suffix}"
        endpoint.on.check_output(f"cat > {file} <<'END'\n{content}END")
    return (PKI / "renewed.crt").read_text()
