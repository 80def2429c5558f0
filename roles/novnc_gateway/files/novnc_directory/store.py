# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What has to survive a restart: log-ins, open consoles, and what hosts told last; in SQLite.

Times are those of the wall clock, in seconds. Of a cookie only its hash is kept.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from dataclasses import astuple, dataclass, fields

from novnc_directory.settings import Limits
from novnc_directory.vms import Vm

_TOUCHED_EVERY = 1.0
"""Seconds for which a log-in's use is not written down again."""
_LAYOUT = 1
"""Of the tables; another one is thrown away, and everybody logs in again."""


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


@dataclass(frozen=True)
class Answer:
    """What a host told last, and when."""

    at: float
    vms: tuple[Vm, ...]


_TABLES = {
    "logins": [field.name for field in fields(Login)],
    "consoles": [field.name for field in fields(Console)],
    "answers": ["id", "at", "vms"],
}


class Store:
    """The database."""

    def __init__(self, path: str) -> None:
        """Open or make it. Raises sqlite3.Error."""
        # Each statement is a transaction of its own.
        self._db = sqlite3.connect(path, isolation_level=None)
        # A crash of the machine may cost the last log-ins, a crash of the service costs nothing.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA secure_delete=ON")
        layout = self._db.execute("PRAGMA user_version").fetchone()[0]
        for table, names in _TABLES.items():
            if layout != _LAYOUT:
                self._db.execute(f"DROP TABLE IF EXISTS {table}")
            columns = ", ".join([*names, "PRIMARY KEY (id)"])
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
        self._db.execute("CREATE INDEX IF NOT EXISTS consoles_login ON consoles (login)")
        self._db.execute(f"PRAGMA user_version = {_LAYOUT}")

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def begin(self, user: str, password_hash: str, client: str, now: float) -> str:
        """Keep a new log-in; return the cookie's token, which is kept nowhere."""
        token = secrets.token_urlsafe(32)
        login = Login(login_id(token), user, credential(password_hash), client, now, now)
        self._db.execute("INSERT INTO logins VALUES (?, ?, ?, ?, ?, ?)", astuple(login))
        return token

    def login(self, identity: str) -> Login | None:
        """Return a log-in, whether or not it is over."""
        row = self._db.execute("SELECT * FROM logins WHERE id = ?", (identity,)).fetchone()
        return Login(*row) if row else None

    def logins(self) -> list[Login]:
        """Return all of them."""
        return [Login(*row) for row in self._db.execute("SELECT * FROM logins")]

    def touch(self, login: Login, now: float) -> None:
        """Note that a log-in is in use."""
        if now - login.used > _TOUCHED_EVERY:
            self._db.execute("UPDATE logins SET used = ? WHERE id = ?", (now, login.id))

    def end(self, identity: str) -> None:
        """Forget a log-in; its consoles stay until they have ended."""
        self._db.execute("DELETE FROM logins WHERE id = ?", (identity,))

    def open(self, console: Console) -> None:
        """Keep a console."""
        insert = "INSERT INTO consoles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._db.execute(insert, astuple(console))

    def consoles(self) -> list[Console]:
        """Return those that are open."""
        return [Console(*row) for row in self._db.execute("SELECT * FROM consoles")]

    def close_console(self, identity: str) -> None:
        """Forget one."""
        self._db.execute("DELETE FROM consoles WHERE id = ?", (identity,))

    def keep_answer(self, host: str, answer: Answer) -> None:
        """Keep what a host told last."""
        vms = json.dumps([astuple(vm) for vm in answer.vms])
        self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (host, answer.at, vms))

    def answers(self) -> dict[str, Answer]:
        """Return them by host."""
        rows = self._db.execute("SELECT * FROM answers")
        return {
            row[0]: Answer(row[1], tuple(Vm(*one) for one in json.loads(row[2]))) for row in rows
        }

    def forget_answer(self, host: str) -> None:
        """Forget what a host told."""
        self._db.execute("DELETE FROM answers WHERE id = ?", (host,))


def login_id(token: str) -> str:
    """Return what a log-in is known by here."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def credential(password_hash: str) -> str:
    """Return what tells whether an account's password is still the same."""
    return hashlib.sha256(password_hash.encode()).hexdigest()
