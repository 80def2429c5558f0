# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who may log in, and whether they know their password."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ansible_collections.novnc.fleet.plugins.module_utils.passwords import (
    SALT_BYTES,
    check_password,
    cost_of,
    hash_password,
)

from novnc_directory.rights import Account

_AT_ONCE = 2
"""Passwords that are checked side by side; each takes a core and 32 MiB."""
_MOST_WAITING = 40
"""Passwords that wait for that at most: some seconds' work."""
_LASTS = 600.0
"""Seconds after which an account that a check has made is gone in any case."""
_NOBODY = f"scrypt$15$8$1${'A' * 22}==${'A' * 43}="
"""Hash of no password that anybody can find; for unknown names while there are no others."""

T = TypeVar("T")


class BusyError(Exception):
    """So many passwords wait to be checked that one more would wait too long."""


class Accounts:
    """The accounts."""

    def __init__(self, written: Mapping[str, Account]) -> None:
        self._passing: dict[str, tuple[Account, float]] = {}
        self._strangers, self._known = _Queue(_AT_ONCE), _Queue(1)
        self.use(written)

    def use(self, written: Mapping[str, Account]) -> None:
        """Take these accounts from now on, those that are written down."""
        self._written = written
        hashes = sorted(account.password_hash for account in written.values())
        self._one_of_each_cost = list({cost_of(one): one for one in hashes}.values())

    def get(self, name: str) -> Account | None:
        """Return the account of a name."""
        account, until = self._passing.get(name, (None, 0.0))
        if account and time.monotonic() < until:
            return account
        self._passing.pop(name, None)
        return self._written.get(name)

    async def check(self, name: str, password: str, *, known: bool) -> Account | None:
        """Return the account if the password is its own; takes the same time if there is none.

        Args:
            name: Whom somebody says they are.
            password: What they say proves it.
            known: Whether they have logged in from there before: what waits from elsewhere does
                not keep them waiting.

        Raises:
            BusyError: Too many wait already.
        """
        account = self.get(name)
        hashed = account.password_hash if account else self._nobody(name)
        queue = self._known if known else self._strangers
        right = await queue.run(lambda: check_password(password, hashed))
        return account if right and account == self.get(name) else None

    def _nobody(self, name: str) -> str:
        """Return a hash to check an unknown name against: it costs what some account's costs."""
        # Always the same for a name, as if it had one; which of them, nobody can tell.
        return min(
            self._one_of_each_cost,
            key=lambda hashed: hashlib.sha256(f"{hashed}/{name}".encode()).digest(),
            default=_NOBODY,
        )

    async def make_passing(self) -> tuple[str, str]:
        """Make an account that may watch everything for a while; return its name and password.

        Raises BusyError.
        """
        name, password = f"check-{secrets.token_hex(8)}", secrets.token_urlsafe(24)
        salt = secrets.token_bytes(SALT_BYTES)
        hashed = await self._known.run(lambda: hash_password(password, salt))
        account = Account(name, hashed, watches_all=True)
        self._passing[name] = (account, time.monotonic() + _LASTS)
        return name, password

    def remove_passing(self, name: str) -> bool:
        """Remove such an account; return whether there was one of that name."""
        return self._passing.pop(name, None) is not None


class _Queue:
    """Work for some threads, and not too much of it."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._most = threads + _MOST_WAITING
        self._under_way = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Return what the work comes to. Raises BusyError."""
        if self._under_way >= self._most:
            raise BusyError
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._under_way -= 1
