# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What is kept of log-ins, consoles and hosts. Pure.

Times are those of the wall clock, in seconds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from novnc_directory.settings import Limits
from novnc_directory.vms import Vm


@dataclass(frozen=True)
class Login:
    """Somebody who has logged in.

    Attributes:
        id: Hash of the cookie's token.
        user: Their account.
        credential: Hash of the password hash that was right; another password ends the log-in.
        client: Address they came from.
        begun: When; ``used`` is when it was used last.
    """

    id: str
    user: str
    credential: str
    client: str
    begun: float
    used: float

    def is_over(self, limits: Limits, now: float) -> bool:
        """Tell whether a limit is reached."""
        idle = limits.idle > 0 and now - self.used > limits.idle
        return idle or (limits.session > 0 and now - self.begun > limits.session)


@dataclass(frozen=True)
class Console:
    """A console that somebody has been let into.

    Attributes:
        id: Names it from here to the endpoint, in the audit as well.
        login: The log-in it belongs to.
        user: Who it is; ``client`` is where they come from.
        host: The hypervisor; ``uuid`` and ``vm`` are the VM and its name there.
        mode: ``control`` or ``watch``.
        begun: When.
        seen: Whether its endpoint has told of it.
    """

    id: str
    login: str
    user: str
    client: str
    host: str
    uuid: str
    vm: str
    mode: str
    begun: float
    seen: bool = False


@dataclass(frozen=True)
class Answer:
    """What a host told last, and when."""

    at: float
    vms: tuple[Vm, ...]


def login_id(token: str) -> str:
    """Return what a log-in is known by here."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def credential(password_hash: str) -> str:
    """Return what tells whether an account's password is still the same."""
    return hashlib.sha256(password_hash.encode()).hexdigest()
