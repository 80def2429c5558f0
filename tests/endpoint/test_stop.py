"""An endpoint that is told to end its sessions."""

from __future__ import annotations

from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.endpoint.conftest import Endpoint, last_words
from tests.endpoint.test_drained import ended
from tests.harness.waiting import wait_until


def test_an_interrupt_ends_sessions_those_of_former_processes_too(plain: Endpoint) -> None:
    with plain.open("web01", timeout=60) as old:
        RfbClient(old).handshake()
        plain.on.check_output("systemctl restart novnc-endpoint")
        with plain.open("web01", timeout=60) as new:
            RfbClient(new).handshake()
            assert plain.on.check_output("pgrep -c -u novnc-endpoint") == "2"
            stopped = {one["session"] for one in plain.sessions()}
            assert len(stopped) == 2
            plain.on.check_output("systemctl kill --signal=INT novnc-endpoint")
            for stream in (old, new):
                words = last_words(stream)
                assert "code 1001" in words
                assert "the endpoint has been stopped" in words
    # The socket is still held: the next visitor starts it anew.
    with plain.open("web01") as stream:
        assert RfbClient(stream).handshake().name == "QEMU (web01)"

    def told() -> bool:
        reasons = {one["session"]: one["reason"] for one in ended(plain)["sessions"]}
        return {reasons.get(one) for one in stopped} == {"the endpoint has been stopped"}

    wait_until(told, 30, "how those have ended who were there before")
