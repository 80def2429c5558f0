# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Lies on the wire against a real endpoint, over TLS, beside a session that tells none.

Usage: ``python -m tests.soak.endpoint [--seconds N] [--seed N]``, with the inventory of the
scenario ``endpoint``, whose hosts run. Liars speak frames and RFB that nobody may: mutated, cut,
merged, lengths of 64 bits. Meanwhile one visitor sends bytes to a VNC server that sends them back,
and counts them. Ends with 1 if that session ends or one of its bytes is lost, if anything but a
liar's own session ends, or if the endpoint fails, grows or keeps something.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from ansible_collections.novnc.fleet.plugins.module_utils.connect import connect_tcp, start_tls
from ansible_collections.novnc.fleet.plugins.module_utils.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    encode_frame,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.stream import SocketStream
from ansible_collections.novnc.fleet.plugins.module_utils.websocket import upgrade

from tests.endpoint.conftest import GATEWAY, PKI, Endpoint
from tests.endpoint.test_load import gauges, left
from tests.harness.fleet import hosts, variables
from tests.harness.project import ROOT
from tests.soak.gate import Session
from tests.unit.passage import CLIENT

HOST = "kvm14"
PROCESS = "systemctl show -P MainPID novnc-endpoint"
ECHO = "flood"
"""The VM of the scenario whose VNC server a test brings."""
LIARS = 8
PATIENCE = 2.0
"""Seconds that a liar has for everything."""
WARM_UP = 500
"""Liars after whom memory must not grow any more."""
MAX_GROWTH = 16 * 1024 * 1024


def lies(seed: int) -> list[bytes]:
    """Return what one liar sends, piece by piece."""
    dice = random.Random(seed)  # noqa: S311 (the same for the same seed)
    frames = [_frame(dice, data) for sender, data in Session(seed).pieces if sender == CLIENT]
    if dice.random() < 0.5:
        frames.insert(dice.randint(0, len(frames)), _broken(dice))
    if dice.random() < 0.3:
        return [b"".join(frames)]
    if dice.random() < 0.3:
        whole = b"".join(frames)
        return [whole[at : at + 7] for at in range(0, min(len(whole), 2000), 7)]
    return frames


def _frame(dice: random.Random, data: bytes) -> bytes:
    frame = encode_frame(BINARY, data, dice.randbytes(4))
    if dice.random() < 0.05:
        at = dice.randrange(len(frame))
        frame = frame[:at] + dice.randbytes(1) + frame[at + 1 :]
    return frame


def _broken(dice: random.Random) -> bytes:
    """Return a frame, or the like, that a server should turn away or live through."""
    mask, some = dice.randbytes(4), dice.randbytes(dice.randrange(300))
    return dice.choice(
        [
            b"\x82\xff" + dice.choice([1, 2**32, 2**62, 2**63, 2**64 - 1]).to_bytes(8, "big"),
            b"\x82\xfe\x00\x05" + mask,  # a short length in a long form
            b"\x82\x05hello",  # not masked
            b"\x02\x81" + mask + b"a\x82\x81" + mask + b"b",  # a message within a message
            encode_frame(CONTINUATION, some, mask),
            encode_frame(PING, some, mask),
            encode_frame(PONG, some[:125], mask) * 50,
            encode_frame(PING, some[:125], mask) * 50,
            encode_frame(0x1, b"text", mask),
            encode_frame(0xB, some, mask),
            encode_frame(CLOSE, some[:125], mask),
            encode_frame(BINARY, b"", mask) * 200,
            some,
        ]
    )


class Soak:
    """One run, against one endpoint."""

    def __init__(self, endpoint: Endpoint, seed: int, seconds: float) -> None:
        self._endpoint, self._seed = endpoint, seed
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._begun = 0
        self.came_to: Counter[str] = Counter()
        self.echoed = 0
        self.memory = 0.0

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self._end

    def lie(self) -> None:
        """Send liars, one after another."""
        while not self.over:
            with self._lock:
                seed = self._seed + self._begun
                self._begun += 1
            outcome = self._liar(seed)
            with self._lock:
                self.came_to[outcome] += 1
            if self._begun == WARM_UP:
                self.memory = gauges(self._endpoint)["resident_memory_bytes"]

    def _liar(self, seed: int) -> str:
        dice = random.Random(-seed)  # noqa: S311
        vm = dice.choice(["web01", "db01", ECHO])
        try:
            transport = connect_tcp(self._endpoint.address, 16900, Deadline(PATIENCE))
        except HopError:  # this machine is too busy; the honest session knows if the endpoint is
            return "never there"
        try:
            start_tls(transport, self._endpoint.address, ca=str(PKI / "ca.crt"), identity=GATEWAY)
            said = {"X-Console-User": "liar", "X-Console-Mode": dice.choice(["control", "watch"])}
            host = f"{self._endpoint.address}:16900"
            upgrade(transport, host, f"/vm/{vm}/websockify", headers=said)
            for piece in lies(seed):
                transport.send(piece)
            if dice.random() < 0.5:
                return "gone without a word"
            transport.send(encode_frame(CLOSE, b"", bytes(4)))
            return self._answer(transport)
        except HopError as error:
            return "cut off" if error.http_status is None else f"HTTP {error.http_status}"
        finally:
            transport.close()

    def _answer(self, transport: SocketStream) -> str:
        """Read to the end; return how it came."""
        try:
            while True:
                transport.receive()
        except HopError as error:
            return "told to go" if "closed the connection" in str(error) else "gone after a while"

    def speak_true(self) -> None:
        """Send bytes, and count those that come back. Raises HopError, AssertionError."""
        dice = random.Random(self._seed)  # noqa: S311
        with self._endpoint.open(
            ECHO, user="honest", timeout=self._end - time.monotonic() + 60
        ) as s:
            assert RfbClient(s).handshake().name == "FLOOD"
            while not self.over:
                sent = dice.randbytes(dice.choice([1, 10, 1000, 100_000]))
                s.send(sent)
                assert s.read_exactly(len(sent)) == sent, "a byte was lost"
                self.echoed += len(sent)


@contextmanager
def echo_server(endpoint: Endpoint) -> Iterator[None]:
    """Have a VNC server on the host that echoes."""
    source = (ROOT / "tests/harness/vnc_server.py").read_text()
    endpoint.on.check_output(
        f"cat > /run/vnc_server.py <<'END'\n{source}END\n"
        "systemd-run --unit=soak-echo python3 /run/vnc_server.py 127.0.0.1 5990 FLOOD echo\n"
        "until ss -Htln | grep -q :5990; do sleep 0.1; done"
    )
    try:
        yield
    finally:
        endpoint.on.check_output("systemctl stop soak-echo; rm /run/vnc_server.py")


def faults(endpoint: Endpoint, run: Soak, process: str) -> list[str]:
    """Return what is wrong with an endpoint after a run, in sentences."""
    found = []
    after = left(endpoint)
    if endpoint.on.check_output(PROCESS) != process:
        found.append("the endpoint has been restarted")
    if "Traceback" in endpoint.on.check_output(f"journalctl _PID={process} -o cat"):
        found.append("the endpoint's journal has a traceback")
    if run.memory and after["resident_memory_bytes"] - run.memory > MAX_GROWTH:
        found.append(
            f"its memory grew from {run.memory:.0f} to {after['resident_memory_bytes']:.0f}"
        )
    return found


def main() -> int:
    """Run for a time; return the exit status."""
    parser = argparse.ArgumentParser(description="Lies on the wire against a real endpoint.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first liar")
    options = parser.parse_args()
    endpoint = Endpoint(hosts()[HOST], variables()[HOST]["ansible_host"])
    endpoint.on.check_output("systemctl restart novnc-endpoint")
    process = endpoint.on.check_output(PROCESS)
    run = Soak(endpoint, options.seed, options.seconds)
    with echo_server(endpoint), ThreadPoolExecutor(LIARS + 1) as people:
        honest = people.submit(run.speak_true)
        liars = [people.submit(run.lie) for _ in range(LIARS)]
        wrong = [f"{error!r}" for one in (honest, *liars) if (error := one.exception())]
    wrong += faults(endpoint, run, process)
    for outcome, times in run.came_to.most_common():
        print(f"{times:9} liars: {outcome}")
    print(
        f"endpoint: {run.came_to.total()} liars from seed {options.seed}, {run.echoed} bytes echoed"
    )
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
