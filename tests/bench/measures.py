"""The measures: each takes both sides in turns, so that what disturbs one disturbs the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TypeVar

from tests.bench import rivals
from tests.bench.client import BenchError, echoes, open_session, visit
from tests.bench.host import Host
from tests.bench.report import Measure, compared
from tests.bench.rivals import Proxy

Side = TypeVar("Side")
Sides = tuple[list[float], list[float]]
_SETTLE = 0.1
"""Seconds for a host to end what the sample before has left it to do."""

_CONNECTIONS = 10
_MIB = 1 << 20


def in_turns(rounds: int, ours: Side, stock: Side) -> Iterator[tuple[int, Side]]:
    """Yield each side (0 is ours) once a round, and a different one first each time."""
    for number in range(rounds):
        sides = [(0, ours), (1, stock)]
        yield from reversed(sides) if number % 2 else sides


def samples(rounds: int, ours: Side, stock: Side, take: Callable[[Side], list[float]]) -> Sides:
    """Return the samples of both sides, without the first round, which fills caches."""
    sides: Sides = ([], [])
    for number, (side, proxy) in enumerate(in_turns(rounds + 1, ours, stock)):
        taken = take(proxy)
        if number >= 2:
            sides[side].extend(taken)
    return sides


def first_visit(host: Host) -> Measure:
    """Time a visitor of an idle console, who has to wait until the service is up."""

    def take(proxy: Proxy) -> list[float]:
        host.shell(f"systemctl stop {rivals.OUR_VM.unit} {rivals.STOCK_ON_DEMAND.unit} 2>/dev/null")
        time.sleep(_SETTLE)
        return [visit(host.door(proxy.port))]

    sides = samples(25, rivals.OUR_VM, rivals.STOCK_ON_DEMAND, take)
    return compared(host.name, "first visit", "ms", sides, 0.6)


def warm_connect(host: Host) -> Measure:
    """Time a visitor whom a running service serves."""

    def take(proxy: Proxy) -> list[float]:
        elapsed = visit(host.door(proxy.port))
        time.sleep(0.01)  # for the process of this connection to end
        return [elapsed]

    started(host, rivals.OUR_VM, rivals.STOCK_VM)
    sides = samples(150, rivals.OUR_VM, rivals.STOCK_VM, take)
    return compared(host.name, "warm connect", "ms", sides, 1.1)


def echo(host: Host) -> Measure:
    """Time 12 bytes, a key and a bit, on their way through the proxy and back.

    Their target is an echo server on the host instead of a VM: to draw a key takes a guest a
    hundred times as long as to carry it takes a proxy, and would hide what is compared.
    """
    started(host, rivals.OUR_ECHO, rivals.STOCK_ECHO)
    with ExitStack() as stack:
        sessions = {
            proxy: stack.enter_context(open_session(host.door(proxy.port), b""))
            for proxy in (rivals.OUR_ECHO, rivals.STOCK_ECHO)
        }
        sides = samples(
            40, rivals.OUR_ECHO, rivals.STOCK_ECHO, lambda proxy: echoes(sessions[proxy], 100)
        )
    return compared(host.name, "echo of 12 bytes", "us", sides, 1.1)


def idle_memory(host: Host) -> list[Measure]:
    """Compare what is there, a while after the last visitor has left."""
    started(host, rivals.OUR_VM, rivals.STOCK_VM)
    for proxy in (rivals.OUR_VM, rivals.STOCK_VM):
        visit(host.door(proxy.port))
    end = time.monotonic() + rivals.IDLE + 10
    while host.pids(rivals.OUR_VM.unit) and time.monotonic() < end:
        time.sleep(0.5)
    ours, stock = (len(host.pids(proxy.unit)) for proxy in (rivals.OUR_VM, rivals.STOCK_VM))
    ours_pss = host.pss(rivals.OUR_VM.unit) / _MIB if ours else 0.0
    stock_pss = host.pss(rivals.STOCK_VM.unit) / _MIB
    return [
        Measure(host.name, "idle: processes", "", ours, stock, 1, 0),
        Measure(host.name, "idle: memory (PSS)", "MiB", ours_pss, stock_pss, 1, 0),
    ]


def connection_memory(host: Host) -> Measure:
    """Compare by how much each open console makes the memory of its proxy grow.

    Only one side runs at a time: each would take a share of the other's libraries.
    """

    def take(proxy: Proxy) -> list[float]:
        host.shell(f"systemctl stop {rivals.OUR_VM.unit} {rivals.STOCK_VM.unit} 2>/dev/null")
        started(host, proxy)
        visit(host.door(proxy.port))
        until(lambda: len(host.pids(proxy.unit)) == 1, f"{proxy.unit} to be idle")
        before = host.pss(proxy.unit)
        with ExitStack() as stack:
            for _ in range(_CONNECTIONS):
                stack.enter_context(open_session(host.door(proxy.port)))
            growth = host.pss(proxy.unit) - before
        return [growth / _CONNECTIONS / _MIB]

    sides = samples(3, rivals.OUR_VM, rivals.STOCK_VM, take)
    return compared(host.name, "each open console (PSS)", "MiB", sides, 1.0)


def started(host: Host, *proxies: Proxy) -> None:
    """Have proxies running and answering, as after their first visitor."""
    host.shell(f"systemctl start {' '.join(proxy.unit for proxy in proxies)}")
    for proxy in proxies:
        until(partial(_listens, host, proxy), f"{proxy.unit} to listen")


def _listens(host: Host, proxy: Proxy) -> bool:
    """Tell whether a proxy takes connections."""
    return bool(host.shell(f"ss -Hltn sport = :{proxy.port}").strip())


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition. Raises BenchError."""
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"waited for 10 s for {what}")
        time.sleep(0.05)
