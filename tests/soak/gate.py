# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Random and mutated sessions through the endpoint's gate.

Usage: ``python -m tests.soak.gate [--seconds N] [--seed N]``. In each session a server and a
client, both given to lies, speak in pieces. The gate may raise nothing but `Refused`; how the
pieces are cut makes no difference; what the server gets of somebody who watches is allowed
messages; no ServerInit but the right one gets to the client; memory does not grow. At the first
session for which that does not hold it ends with 1 and the seed that shows it again.
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import struct
import sys
import time
import traceback
from collections import Counter

from tests.unit.passage import CLIENT, SERVER, Passage, Piece, messages, watched

EXPECTED = "QEMU (web01)"
VERSIONS = [b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"]
ODD = [b"RFB 003.889\n", b"RFB 003.006\n", b"RFB 004.001\n", b"RFB 000.000\n", b"SSH-2.0-a\r\n"]
SCREEN = struct.pack(">HH16s", 0x1234, 0x5678, b"pixels of one VM")
"""What a ServerInit begins with here, and nothing else does."""
FIXED = {0: 20, 3: 10, 4: 8, 5: 6, 150: 10, 250: 4}

WARM_UP = 2000
"""Sessions after which memory must not grow any more."""
MAX_GROWTH = 16 * 1024
"""KB that it may, for all that."""


class Session:
    """One session, made of a seed."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 (the same for the same seed)
        self.mode = self._dice.choice(["control", "watch"])
        self.expect_name = self._dice.choice([EXPECTED, None])
        self.pieces = self._handshake() + self._messages()
        if self._dice.random() < 0.4:
            self.pieces = [(sender, self._mutated(data)) for sender, data in self.pieces]
        if self._dice.random() < 0.1:
            self._dice.shuffle(self.pieces)

    def cut(self) -> list[Piece]:
        """Return the pieces, cut where it happens to be."""
        return [
            (sender, data[start:end])
            for sender, data in self.pieces
            for start, end in itertools.pairwise(
                sorted({0, len(data), *(self._dice.randint(0, len(data)) for _ in range(9))})
            )
        ]

    def _handshake(self) -> list[Piece]:
        dice = self._dice
        version = dice.choice(VERSIONS[dice.randrange(3) :])
        server = version if dice.random() < 0.9 else dice.choice(ODD)
        login = dice.choice([1, 1, 1, 2, 2, 19])
        others = [dice.randrange(256) for _ in range(dice.choice([0, 0, 1, 5]))]
        pieces = [(SERVER, server), (CLIENT, version)]
        if version == VERSIONS[0]:
            pieces += [(SERVER, struct.pack(">I", login))]
        else:
            pieces += [(SERVER, bytes([1 + len(others), login, *others])), (CLIENT, bytes([login]))]
        if login == 2:
            pieces += [(SERVER, dice.randbytes(16)), (CLIENT, dice.randbytes(16))]
        if login == 2 or version == VERSIONS[2]:
            failed = dice.random() < 0.1
            reason = struct.pack(">I", 2) + b"no" if version == VERSIONS[2] else b""
            pieces += [(SERVER, b"\x00\x00\x00\x01" + reason if failed else bytes(4))]
        name = dice.choice([EXPECTED, EXPECTED, "QEMU (db01)", "QEMU", "kim's desktop"]).encode()
        init = SCREEN + struct.pack(">I", len(name)) + name
        return [*pieces, (CLIENT, dice.choice([b"\x00", b"\x01"])), (SERVER, init)]

    def _messages(self) -> list[Piece]:
        return [
            (CLIENT, self._message())
            if self._dice.random() < 0.8
            else (SERVER, self._dice.randbytes(self._dice.randrange(200)))
            for _ in range(self._dice.randrange(30))
        ]

    def _message(self) -> bytes:
        """Return a message of any kind, seldom a large or an unknown one."""
        dice = self._dice
        kind = dice.choice([0, 2, 3, 4, 5, 6, 150, 248, 250, 251, 253, 255])
        if kind in FIXED:
            return bytes([kind]) + dice.randbytes(FIXED[kind] - 1)
        count = dice.choice([0, 1, 5, 20, dice.randrange(2000), 65535 * (dice.random() < 0.01)])
        if kind == 2:
            encodings = [dice.choice([0, 7, -223, -258, -308, -309, -316]) for _ in range(count)]
            return struct.pack(f">BxH{count}i", kind, count, *encodings)
        if kind == 255:
            return bytes([kind, dice.choice([0] * 20 + [1, 2])]) + dice.randbytes(10)
        count, short, screens = count % 65536, count % 256, count % 16
        head, size = {
            6: (struct.pack(">Bxxxi", kind, dice.choice([-1, 1]) * count), count),
            248: (struct.pack(">BxxxIB", kind, 0, short), short),
            251: (struct.pack(">BxHHBx", kind, 9, 9, screens), 16 * screens),
            253: (struct.pack(">BBH", kind, 0x80, count), count),
        }[kind]
        return head + dice.randbytes(size)

    def _mutated(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._dice.choice([0, 0, 0, 1, 3])):
            at = self._dice.randint(0, len(changed))
            removed = self._dice.randrange(3)
            changed[at : at + removed] = self._dice.randbytes(self._dice.randrange(3))
        return bytes(changed)


def judge(session: Session) -> str:
    """Play a session; return what it came to.

    Raises:
        AssertionError: The gate did what it must not.
    """
    whole = Passage(session.mode, session.expect_name).play(*session.pieces)
    cut = Passage(session.mode, session.expect_name).play(*session.cut())
    assert cut.agrees_with(whole), "pieces make a difference"
    sent = messages(cut.to_client, cut.to_server)
    if session.mode == "watch":
        assert sent is not None, "who watches got what nobody can look into"
        watched(sent)
    if sent is not None and session.expect_name and cut.gate.ready:
        assert EXPECTED.encode() in cut.to_client
    if cut.refused and "shows another VM" in cut.refused:
        assert SCREEN not in cut.to_client + cut.told, "another VM's ServerInit has passed"
    state = "messages" if cut.gate.ready else "handshake"
    return f"{session.mode}, {f'refused: {cut.refused[:30]}' if cut.refused else state}"


def main() -> int:
    """Run for a time; return the exit status."""
    parser = argparse.ArgumentParser(description="Random sessions through the endpoint's gate.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the first session")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    came_to: Counter[str] = Counter()
    memory = 0
    for count in itertools.count():
        try:
            came_to[judge(Session(options.seed + count))] += 1
        except Exception:
            traceback.print_exc()
            print(f"again: python -m tests.soak.gate --seed {options.seed + count} --seconds 0")
            return 1
        if count == WARM_UP:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if time.monotonic() > end:
            break
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory if memory else 0
    for outcome, times in came_to.most_common():
        print(f"{times:9} {outcome}")
    print(f"gate: {came_to.total()} sessions from seed {options.seed}, memory +{growth} KB")
    return int(growth > MAX_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
