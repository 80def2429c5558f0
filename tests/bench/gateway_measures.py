"""What a console costs through the gateway, beside the direct one and a bare VNC connection."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.bench.client import ECHO_SENT, echoes
from tests.bench.endpoint_measures import read_flood
from tests.bench.endpoint_rivals import FLOOD_BYTES
from tests.bench.gateway import ECHO, FLOOD, VM, Site
from tests.bench.measures import samples
from tests.bench.report import Measure, compared
from tests.bench.vnc import Place, Returning, entered, time_to_frame, time_to_init

_GATEWAY_UNITS = ("nginx.service", "novnc-directory.service")
_ENDPOINT_UNIT = "novnc-endpoint.service"
_OPEN, _OPEN_DIRECT = 100, 20
"""Consoles that are open while the memory is looked at; each direct one is a process."""
_KB = 1000
_GB = 1e9


def measure(site: Site) -> list[Measure]:
    """Take all measures."""
    return [*_connects(site), _first_frame(site), _echo(site), _throughput(site), _memory(site)]


def _connects(site: Site) -> list[Measure]:
    """Time the way to ServerInit; a screen is what comes after it, whatever the way."""
    name = site.gateway.name
    gateway: Place = site.console(VM)
    direct: Place = site.direct_console(VM)
    rival: Place = site.rival
    vnc: Place = site.vnc_server(VM)
    returning = Returning()

    def once(place: Place) -> list[float]:
        return [time_to_init(place)]

    def again(place: Place) -> list[float]:
        return [returning.time_to_init(place)]

    to_vnc = "TLS connect to ServerInit: {} to bare VNC"
    return [
        compared(name, to_vnc.format("gateway"), "ms", samples(100, gateway, vnc, once), 12),
        compared(
            name,
            to_vnc.format("gateway, TLS resumed"),
            "ms",
            samples(100, gateway, vnc, again),
            None,
        ),
        compared(
            name,
            to_vnc.format("nginx, websockify"),
            "ms",
            samples(100, rival, vnc, once),
            None,
        ),
        compared(
            name,
            "TLS connect to ServerInit: gateway to direct console",
            "ms",
            samples(50, gateway, direct, once),
            None,
        ),
    ]


def _first_frame(site: Site) -> Measure:
    """Time the way to the whole screen."""
    sides = samples(
        50, site.console(VM), site.direct_console(VM), lambda place: [time_to_frame(place)]
    )
    return compared(site.gateway.name, "first frame: gateway to direct console", "ms", sides, 1.1)


def _echo(site: Site) -> Measure:
    """Time a key on its way to a server that sends it back."""
    places = (site.console(ECHO), site.direct_console(ECHO))
    with ExitStack() as stack:
        through = {place: stack.enter_context(entered(place)).sock for place in places}
        sides = samples(40, *places, lambda place: echoes(through[place], 100))
    return compared(
        site.gateway.name, "echo of a key: gateway to direct console", "us", sides, None
    )


def _throughput(site: Site) -> Measure:
    """Time many bytes on their way to the visitor."""

    def take(place: Place) -> list[float]:
        with entered(place) as visitor:
            start = time.perf_counter()
            visitor.sock.sendall(ECHO_SENT)
            read_flood(visitor.sock)
            return [(time.perf_counter() - start) / (FLOOD_BYTES / _GB)]

    sides = samples(7, site.console(FLOOD), site.direct_console(FLOOD), take)
    return compared(
        site.gateway.name, "time to carry a GB: gateway to direct console", "s", sides, None
    )


def _memory(site: Site) -> Measure:
    """Look by how much each open console makes all processes on its way grow."""
    gateway, hypervisor = site.gateway, site.hypervisor
    ours, direct = site.console(ECHO), site.direct_console(ECHO)
    direct_unit = f"novnc-console@{ECHO}.service"

    def used(place: Place) -> int:
        if place is direct:
            return hypervisor.pss(direct_unit)
        # Whenever it is asked for its VMs, the endpoint has children for a moment.
        endpoint = min(hypervisor.pss(_ENDPOINT_UNIT) for _ in range(5))
        return sum(map(gateway.pss, _GATEWAY_UNITS)) + endpoint

    def take(place: Place) -> list[float]:
        # What has had visitors before has room for the next ones already.
        gateway.shell(f"systemctl restart {' '.join(_GATEWAY_UNITS)}")
        hypervisor.shell(f"systemctl stop {direct_unit} {_ENDPOINT_UNIT} 2>/dev/null")
        count = _OPEN_DIRECT if place is direct else _OPEN
        with ExitStack() as stack:
            stack.enter_context(entered(place))
            before = used(place)
            for _ in range(count):
                stack.enter_context(entered(place))
            return [(used(place) - before) / count / _KB]

    sides = samples(3, ours, direct, take)
    name = "each open console (PSS): gateway and endpoint to direct console"
    return compared(gateway.name, name, "kB", sides, None, limit=400)
