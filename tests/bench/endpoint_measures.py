"""What the endpoint costs, beside websockify 0.13 and QEMU's own WebSocket, all over TLS."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

from tests.bench import endpoint_rivals as rivals
from tests.bench.client import (
    ECHO_BACK,
    ECHO_SENT,
    MESSAGE,
    TIMEOUT,
    BenchError,
    echoes,
    open_session,
    visit,
)
from tests.bench.endpoint_rivals import ECHO, FLOOD, FLOOD_BYTES, VM, Way
from tests.bench.host import Host
from tests.bench.measures import samples, until
from tests.bench.report import Measure, compared
from tests.harness.vnc_server import END

_OPEN = 15
"""Consoles that are open while their memory is looked at; one VM has 16 at most."""
_MIB = 1 << 20
_GB = 1e9
_STEPS = ((b"RFB 003.008\n", 2), (b"\x01", 4), (b"\x01", 29))
"""The handshake with the server without a screen: what the client says, the bytes it then gets."""


def measure(host: Host) -> list[Measure]:
    """Take all measures on a host that has the endpoint and its rivals."""
    return [
        _cold(host),
        *_warm(host),
        *_echo(host),
        *_throughput(host),
        _memory(host),
    ]


def _named(what: str, other: str = "websockify 0.13") -> str:
    return f"endpoint to {other}: {what}"


def _start(host: Host, *ways: Way) -> None:
    host.shell(f"systemctl start {' '.join(way.unit for way in ways)}")
    for way in ways:
        port = way.door.port
        until(lambda: bool(host.shell(f"ss -Hltn sport = :{port}").strip()), way.unit)  # noqa: B023


def _cold(host: Host) -> Measure:
    """Time a visitor who has to wait until the service is up."""
    ours, stock = rivals.endpoint(host, VM), rivals.stock_on_demand(host)

    def take(way: Way) -> list[float]:
        host.shell(f"systemctl stop {way.unit} 2>/dev/null")
        return [visit(way.door)]

    return compared(
        host.name, _named("first bytes, cold"), "ms", samples(10, ours, stock, take), None
    )


def _warm(host: Host) -> list[Measure]:
    """Time a visitor whom a running service serves."""
    ours, stock, qemu = rivals.endpoint(host, VM), rivals.stock(host, VM), rivals.qemu(host)
    _start(host, ours, stock, qemu)

    def take(way: Way) -> list[float]:
        return [visit(way.door)]

    to_qemu = _named("first bytes, warm", "QEMU's WebSocket")
    return [
        compared(
            host.name, _named("first bytes, warm"), "ms", samples(50, ours, stock, take), 1 / 5
        ),
        compared(host.name, to_qemu, "ms", samples(50, ours, qemu, take), None),
    ]


def _echo(host: Host) -> list[Measure]:
    """Time a key, 12 bytes, on its way through the proxy to the echoing server and back."""
    ours, stock = rivals.endpoint(host, ECHO), rivals.stock(host, ECHO)
    _start(host, ours, stock)
    with ExitStack() as stack:
        through = {way: stack.enter_context(_entered(way)) for way in (ours, stock)}
        raw = stack.enter_context(_entered_raw(rivals.raw_echo(host)))
        to_stock = samples(40, ours, stock, lambda way: echoes(through[way], 100))
        sides = samples(
            40,
            (through[ours], ECHO_SENT, ECHO_BACK),
            (raw, MESSAGE, MESSAGE),
            lambda side: echoes(side[0], 100, side[1], side[2]),
        )
    return [
        compared(host.name, _named("echo of 12 bytes"), "us", to_stock, 1),
        compared(host.name, _named("echo of 12 bytes", "raw TCP"), "us", sides, 2.5),
    ]


def _throughput(host: Host) -> list[Measure]:
    """Time many bytes on their way to the visitor, and the work of the proxy's processes."""
    ours, stock = rivals.endpoint(host, FLOOD), rivals.stock(host, FLOOD)
    _start(host, ours, stock)
    work: dict[Way, list[float]] = {ours: [], stock: []}

    def take(way: Way) -> list[float]:
        with _entered(way) as sock:
            before = host.cpu_seconds(way.unit)
            start = time.perf_counter()
            sock.sendall(ECHO_SENT)
            read_flood(sock)
            elapsed = time.perf_counter() - start
            work[way].append((host.cpu_seconds(way.unit) - before) / (FLOOD_BYTES / _GB))
        return [elapsed / (FLOOD_BYTES / _GB)]

    sides = samples(5, ours, stock, take)
    worked = (work[ours][1:], work[stock][1:])
    return [
        compared(host.name, _named("time to carry a GB"), "s", sides, 1),
        compared(host.name, _named("CPU to carry a GB"), "s", worked, 0.75),
    ]


def _memory(host: Host) -> Measure:
    """Compare by how much each open console makes the memory of its service grow."""
    ours, stock = rivals.endpoint(host, VM), rivals.stock(host, VM)

    def take(way: Way) -> list[float]:
        host.shell(f"systemctl stop {ours.unit} {stock.unit} 2>/dev/null")
        _start(host, way)
        visit(way.door)
        until(lambda: len(host.pids(way.unit)) == 1, f"{way.unit} to be idle")
        before = host.pss(way.unit)
        with ExitStack() as stack:
            for _ in range(_OPEN):
                stack.enter_context(open_session(way.door))
            return [(host.pss(way.unit) - before) / _OPEN / _MIB]

    sides = samples(3, ours, stock, take)
    return compared(host.name, _named("each open console (PSS)"), "MiB", sides, 1 / 18)


def _entered(way: Way) -> socket.socket:
    """Return a session with the server without a screen, past the handshake."""
    sock = open_session(way.door)
    for said, answered in _STEPS:
        # Masked with zeros, which leaves it as it is.
        sock.sendall(bytes([0x82, 0x80 | len(said), 0, 0, 0, 0]) + said)
        _read(sock, 2 + answered)
    return sock


def _entered_raw(address: tuple[str, int]) -> socket.socket:
    """Return a connection to that server without anything between, past the handshake."""
    sock = socket.create_connection(address, timeout=TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _read(sock, 12)
    for said, answered in _STEPS:
        sock.sendall(said)
        _read(sock, answered)
    return sock


def _read(sock: socket.socket, count: int) -> None:
    while count > 0:
        data = sock.recv(count)
        if not data:
            raise BenchError("a session ended in its handshake")
        count -= len(data)


def read_flood(sock: socket.socket) -> None:
    """Read up to the end of what is sent, whatever frames it comes in."""
    room = memoryview(bytearray(256 * 1024))
    tail = b""
    while not tail.endswith(END):
        count = sock.recv_into(room)
        if not count:
            raise BenchError("the session ended in the midst of a flood")
        tail = (tail + bytes(room[max(0, count - len(END)) : count]))[-len(END) :]
