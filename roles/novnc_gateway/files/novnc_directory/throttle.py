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
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

_FREE = 5
"""Failures that cost nothing."""
_FORGETS = 60.0
"""Seconds after which one failure is forgotten."""
_LONGEST_WAIT = 16.0
"""Seconds that an address has to wait at most."""
_LONGEST_DELAY = 3.0
"""Seconds that an account answers late at most."""
_MOST_FAILURES = 40.0
"""Failures that are counted at most: more would slow nobody any further."""
_MOST = 10_000
"""Addresses and accounts that are kept in mind; of more, those that failed longest ago go."""
_MOST_PLACES = 20
"""Places in mind where one account has logged in from, those of its last log-ins."""
_SITE = 1 / 8
"""What a failure counts for a whole site of IPv6, which has many networks."""


@dataclass(frozen=True)
class Attempt:
    """Somebody tries to log in.

    Attributes:
        wait: Seconds after which they may try again; 0 if they may now.
        delay: Seconds by which the answer has to be late.
        known: Whether they have logged in from there before.
        place: What counts as the address that they come from.
        weights: How much a failure counts, for what.
    """

    wait: float
    delay: float = 0.0
    known: bool = False
    place: str = ""
    weights: Mapping[Hashable, float] = field(default_factory=dict)


class Throttle:
    """Knows who has failed how often; ``now`` is ``time.monotonic()`` everywhere."""

    def __init__(self) -> None:
        self._failures: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._tried: dict[Hashable, float] = {}
        self._known: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def begin(self, address: str, account: str, now: float) -> Attempt:
        """Let somebody try, or not.

        Whoever need not wait is judged by `failed`, `succeeded` or `unheard` afterwards. Until
        then it counts as a failure: many at once gain nothing.
        """
        places = _places(address)
        place = next(iter(places))
        known = place in self._known.get(account, ())
        weights: dict[Hashable, float] = (
            {("pair", place, account): 1.0}
            if known
            else {("place", name): weight for name, weight in places.items()}
        )
        wait = max(self._waits(key, now) for key in weights)
        if wait > 0:
            return Attempt(wait)
        delay = 0.0
        if not known:
            tried = self._tried.get(("account", account), 0.0)
            over = self._count(("account", account), now) + tried - _FREE
            delay = min(_LONGEST_DELAY, max(0.0, over / 10))
            weights["account", account] = 1.0
        for key, weight in weights.items():
            self._tried[key] = self._tried.get(key, 0.0) + weight
        return Attempt(0.0, delay, known, place, weights)

    def failed(self, attempt: Attempt, now: float) -> None:
        """Count an attempt: it was a wrong password."""
        self.unheard(attempt)
        for key, weight in attempt.weights.items():
            count = min(_MOST_FAILURES, self._count(key, now) + weight)
            self._failures[key] = (count, now)
            self._failures.move_to_end(key)
        while len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def succeeded(self, attempt: Attempt, account: str) -> None:
        """Count nothing: it was the right password."""
        # What else came from there stays counted: one good account buys no guesses at others.
        self.unheard(attempt)
        if attempt.known:
            for key in attempt.weights:
                self._failures.pop(key, None)
        self.know(attempt.place, account)

    def unheard(self, attempt: Attempt) -> None:
        """Count nothing: nobody has looked at the password."""
        for key, weight in attempt.weights.items():
            self._tried[key] -= weight
            if not self._tried[key]:
                del self._tried[key]

    def know(self, place: str, account: str) -> None:
        """Keep in mind that somebody has logged in from a place."""
        places = self._known.setdefault(account, OrderedDict())
        self._known.move_to_end(account)
        places[place] = None
        places.move_to_end(place)
        if len(places) > _MOST_PLACES:
            places.popitem(last=False)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)

    def _count(self, key: Hashable, now: float) -> float:
        count, since = self._failures.get(key, (0.0, now))
        return max(0.0, count - (now - since) / _FORGETS)

    def _waits(self, key: Hashable, now: float) -> float:
        """Return how long to wait: since the last failure, and for what is being tried."""
        count, since = self._failures.get(key, (0.0, now))
        tried = self._tried.get(key, 0.0)
        too_many = _wait(self._count(key, now) + tried) if tried else 0.0
        return max(0.0, since + _wait(count) - now, too_many)


def _wait(failures: float) -> float:
    """Return the seconds to wait after so many failures."""
    over = round(failures) - _FREE
    return min(_LONGEST_WAIT, 2.0**over) if over >= 0 else 0.0


def _places(address: str) -> dict[str, float]:
    """Return what counts as one address, and how much: of IPv6 a network, and its whole site."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return {address: 1.0}
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if isinstance(ip, ipaddress.IPv4Address):
        return {str(ip): 1.0}
    network, site = (str(ipaddress.ip_network((int(ip), size), strict=False)) for size in (64, 48))
    return {network: 1.0, site: _SITE}
