"""Stopping the service loses nobody: its listener stays, and whoever comes wakes it."""

from __future__ import annotations

import threading

from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError

from tests.endpoint.conftest import Endpoint
from tests.harness.repeats import times

CYCLES = times(100, test=20)


def greeting(endpoint: Endpoint) -> str:
    """Return what the VNC server says first, or why nobody was reached."""
    try:
        with endpoint.open("web01") as stream:
            return stream.read_exactly(4).decode()
    except HopError as error:
        return str(error)


def test_no_connect_is_lost_over_stops_and_wakings(plain: Endpoint) -> None:
    """In every second cycle the visitor comes while the service is being stopped."""
    lost = []
    for cycle in range(CYCLES):
        stop = threading.Thread(
            target=plain.on.check_output, args=("systemctl stop novnc-endpoint.service",)
        )
        stop.start()
        if cycle % 2:
            stop.join()
        said = greeting(plain)
        if said != "RFB ":
            lost.append(f"{cycle}: {said}")
        stop.join()
    assert lost == []
