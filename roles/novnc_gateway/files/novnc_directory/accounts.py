# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who may log in, and whether they know their password."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.novnc.fleet.plugins.module_utils.passwords import (
    SALT_BYTES,
    check_password,
    hash_password,
)

from novnc_directory.rights import Account

_AT_ONCE = 2
"""Passwords that are checked side by side; each takes a core and 32 MiB."""
_LASTS = 600.0
"""Seconds after which an account that a check has made is gone in any case."""
_NOBODY = f"scrypt$15$8$1${'A' * 22}==${'A' * 43}="
"""Hash of no password that anybody can find; what an unknown name is checked against."""


class Accounts:
    """The accounts.

    Attributes:
        written: Those that are written down, by name; exchanged with the settings.
    """

    def __init__(self, written: Mapping[str, Account]) -> None:
        self.written = written
        self._passing: dict[str, tuple[Account, float]] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def get(self, name: str) -> Account | None:
        """Return the account of a name."""
        account, until = self._passing.get(name, (None, 0.0))
        if account and time.monotonic() < until:
            return account
        self._passing.pop(name, None)
        return self.written.get(name)

    async def check(self, name: str, password: str) -> Account | None:
        """Return the account if the password is its own; takes the same time if there is none."""
        account = self.get(name)
        hashed = account.password_hash if account else _NOBODY
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(self._pool, check_password, password, hashed)
        return account if right and account == self.get(name) else None

    async def make_passing(self) -> tuple[str, str]:
        """Make an account that may watch everything for a while; return its name and password."""
        name, password = f"check-{secrets.token_hex(8)}", secrets.token_urlsafe(24)
        salt = secrets.token_bytes(SALT_BYTES)
        loop = asyncio.get_running_loop()
        hashed = await loop.run_in_executor(self._pool, hash_password, password, salt)
        account = Account(name, hashed, watches_all=True)
        self._passing[name] = (account, time.monotonic() + _LASTS)
        return name, password

    def remove_passing(self, name: str) -> bool:
        """Remove such an account; return whether there was one of that name."""
        return self._passing.pop(name, None) is not None
