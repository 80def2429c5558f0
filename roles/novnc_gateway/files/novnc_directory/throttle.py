# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""How wrong passwords slow down those who try them, and nobody else. Pure.

Failures count for the address that they came from and for the account that they were tried on.
Who comes from an address that fails too often is told to wait. On an account that is being
guessed, answers come late: everybody who knows the password still gets in. And where somebody has
logged in from an address before, only what fails there on that account counts.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

_FREE = 5
"""Failures that cost nothing."""
_FORGETS = 60.0
"""Seconds after which one failure is forgotten."""
_LONGEST_WAIT = 16.0
"""Seconds that an address has to wait at most."""
_LONGEST_DELAY = 3.0
"""Seconds that an account answers late at most."""
_MOST = 10_000
"""Addresses and accounts that are kept in mind; of more, those that failed longest ago go."""


@dataclass(frozen=True)
class Attempt:
    """Somebody tries to log in.

    Attributes:
        wait: Seconds after which they may try again; 0 if they may now.
        delay: Seconds by which the answer has to be late.
    """

    wait: float
    delay: float = 0.0


class Throttle:
    """Knows who has failed how often; ``now`` is ``time.monotonic()`` everywhere."""

    def __init__(self) -> None:
        self._failures: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, address: str, account: str, now: float) -> Attempt:
        """Let somebody try, or not.

        An attempt counts as a failure until it has succeeded: many at once gain nothing.
        """
        address = _network(address)
        pair = (address, account)
        own = pair if pair in self._known else address
        wait = self._waits(own, now)
        if wait > 0:
            return Attempt(wait)
        delay = 0.0
        if own is address:
            over = self._count(("account", account), now) - _FREE
            delay = min(_LONGEST_DELAY, max(0.0, over / 10))
            self._add(("account", account), now)
        self._add(own, now)
        return Attempt(0.0, delay)

    def succeeded(self, address: str, account: str, now: float) -> None:
        """Take back what `begin` has counted: it was the right password."""
        address = _network(address)
        pair = (address, account)
        if pair in self._known:
            self._failures.pop(pair, None)
        else:
            # What else came from there stays counted: one good account buys no guesses at others.
            self._add(address, now, -1.0)
            self._add(("account", account), now, -1.0)
        self._known[pair] = None
        self._known.move_to_end(pair)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    def _count(self, key: Hashable, now: float) -> float:
        count, since = self._failures.get(key, (0.0, now))
        return max(0.0, count - (now - since) / _FORGETS)

    def _add(self, key: Hashable, now: float, count: float = 1.0) -> None:
        self._failures[key] = (max(0.0, self._count(key, now) + count), now)
        self._failures.move_to_end(key)
        while len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def _waits(self, key: Hashable, now: float) -> float:
        _, since = self._failures.get(key, (0.0, now))
        over = round(self._count(key, since)) - _FREE
        wait = min(_LONGEST_WAIT, 2.0**over) if over >= 0 else 0.0
        return max(0.0, since + wait - now)


def _network(address: str) -> str:
    """Return what counts as one address: of IPv6 all that one customer has."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip), 64), strict=False))
    return str(ip)
