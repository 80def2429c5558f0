"""Many at once, and many after another: all are served, and nothing of them stays behind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from typing import TypeVar

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.endpoint.conftest import Endpoint
from tests.harness.fleet import background
from tests.harness.repeats import times
from tests.harness.waiting import wait_until

VMS = [f"load{number:02}" for number in range(40)]
AT_ONCE = times(500, test=200)
OPENED = times(2000, test=1000)
KEPT = 1000
"""Sessions of which the endpoint knows how they have ended."""
AT_A_TIME = 8
"""Visitors that this machine plays side by side."""
BOOTING = (0, 0, 0)
"""Background before the guest has started."""
TIMEOUT = 300.0

Given = TypeVar("Given")
Found = TypeVar("Found")


@pytest.fixture(scope="module")
def forty(plain: Endpoint) -> Iterator[Endpoint]:
    """Return an endpoint with forty VMs more."""
    units = " ".join(f"qemu-vm@{vm}" for vm in VMS)
    files = [
        f"echo VNC=127.0.0.1:{number} > /etc/test-vms/{vm}.env"
        for number, vm in enumerate(VMS, start=10)
    ]
    plain.on.check_output("\n".join([*files, f"systemctl start {units}"]))
    yield plain
    plain.on.check_output(f"systemctl stop {units}; rm /etc/test-vms/load*.env")


def test_what_visitors_in_turn_have_used_is_given_back(forty: Endpoint) -> None:
    def visit(vm: str) -> None:
        with forty.open(vm, timeout=TIMEOUT) as stream:
            assert RfbClient(stream).handshake().name == f"QEMU ({vm})"

    # It gets warm, and has as much to remember as it ever will.
    _together(visit, islice(cycle(VMS), KEPT))
    before = left(forty)
    _together(visit, islice(cycle(VMS), OPENED))
    after = left(forty)
    assert after["open_fds"] == before["open_fds"]
    assert after["tasks"] == before["tasks"]
    assert after["resident_memory_bytes"] <= 1.05 * before["resident_memory_bytes"]


def test_visitors_at_once_all_see_their_vm(forty: Endpoint) -> None:
    with ExitStack() as stack:

        def enter(vm: str) -> tuple[str, RfbClient]:
            client = RfbClient(stack.enter_context(forty.open(vm, timeout=TIMEOUT)))
            client.handshake()
            return vm, client

        clients = _together(enter, islice(cycle(VMS), AT_ONCE))
        assert Counter(one["vm"] for one in forty.sessions()) == Counter(
            islice(cycle(VMS), AT_ONCE)
        )
        seen = _together(lambda one: (one[0], _screen(one[1])), iter(clients))
        assert [vm for vm, colour in seen if colour != guest_image.colour(vm)] == []
    left(forty)


def _together(do: Callable[[Given], Found], given: Iterator[Given]) -> list[Found]:
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(do, given))


def _screen(client: RfbClient) -> tuple[int, int, int]:
    """Return the colour of a guest's screen once it has started."""
    while (colour := background(client)) == BOOTING:
        pass
    return colour


def gauges(endpoint: Endpoint) -> dict[str, float]:
    """Return those of an endpoint's metrics that are single numbers."""
    lines = re.findall(r"^novnc_endpoint_(\w+) ([\d.e+]+)$", endpoint.ask("/metrics")[1], re.M)
    return {name: float(value) for name, value in lines}


def left(endpoint: Endpoint) -> dict[str, float]:
    """Wait until the last session has ended; return what the endpoint uses then."""
    wait_until(lambda: endpoint.sessions() == [], 30, "the end of all sessions")
    return gauges(endpoint)
