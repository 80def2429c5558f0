# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What has to survive a restart: log-ins, open consoles, who came from where, hosts; in SQLite.

Times are those of the wall clock, in seconds. Of a cookie only its hash is kept. While the service
runs, log-ins, consoles and answers are in memory, and the database is what the next start begins
with: one that cannot be written lets nobody new in, and throws nobody out.
"""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from dataclasses import astuple, fields, replace
from pathlib import Path

from novnc_directory.audit import journal
from novnc_directory.database import DamagedError, Database, StoreError
from novnc_directory.records import Answer, Console, Login, credential, login_id
from novnc_directory.settings import Address
from novnc_directory.vms import Vm

_TOUCHED_EVERY = 1.0
"""Seconds for which a log-in's use is not written down again."""
_LAYOUT = 3
"""Of the tables; another one is thrown away, and everybody logs in again."""
_MOST_LOGINS = 50
"""Log-ins that one user may have; with one more, the one that was used longest ago is over."""
_MOST_PLACES = 20
"""Places that are kept of one user, those that they have logged in from last."""
_MARK = re.compile("[0-9a-f]{8}")


_TABLES = {
    "logins": [field.name for field in fields(Login)],
    "consoles": [field.name for field in fields(Console)],
    "answers": ["id", "at", "vms"],
    "endpoints": ["id", *(field.name for field in fields(Address))],
    "places": ["id", "user", "place", "at"],
}


class Store:
    """What is kept.

    Attributes:
        mark: What the ids of this gateway's consoles begin with, and those of no other's.
        answers: What hosts told last, by their name.
        endpoints: Where the hosts' endpoints are that were asked last, by the host's name.
        places: Users and where they had logged in from at the start, the last one last.
    """

    def __init__(self, path: str) -> None:
        """Open or make it; one that is damaged is set aside. Raises OSError, sqlite3.Error."""
        self.mark = _mark(Path(path).with_suffix(".mark"))
        self._db = Database(Path(path), _TABLES, _LAYOUT)
        try:
            self._load()
        except (DamagedError, ValueError, TypeError) as error:
            aside = self._db.set_aside()
            reason = f"{path} is damaged ({error}): it is {aside} now, and everybody logs in anew"
            journal("state-damaged", reason=reason)
            self._load()

    def _load(self) -> None:
        """Read what there is. Raises sqlite3.Error; DamagedError, ValueError, TypeError."""
        self._db.open()
        logins = [Login(*row) for row in self._db.read("SELECT * FROM logins")]
        consoles = [Console(*row) for row in self._db.read("SELECT * FROM consoles")]
        self._logins = {login.id: login for login in logins}
        self._written = {login.id: login.used for login in logins}
        self._consoles = {console.id: console for console in consoles}
        self.answers = {
            host: Answer(at, tuple(Vm(*one) for one in json.loads(vms)))
            for host, at, vms in self._db.read("SELECT * FROM answers")
        }
        rows = self._db.read("SELECT * FROM endpoints")
        self.endpoints = {host: Address(*row) for host, *row in rows}
        self.places = self._db.read("SELECT user, place FROM places ORDER BY at")

    def close(self) -> None:
        """Close it."""
        self._db.close()

    def begin(self, user: str, password_hash: str, client: str, now: float) -> tuple[str, Login]:
        """Keep a new log-in; return the cookie's token, which is kept nowhere, too.

        Raises StoreError.
        """
        token = secrets.token_urlsafe(32)
        login = Login(login_id(token), user, credential(password_hash), client, now, now)
        self._db.write("INSERT INTO logins VALUES (?, ?, ?, ?, ?, ?)", *astuple(login))
        self._logins[login.id], self._written[login.id] = login, now
        own = [one for one in self.logins() if one.user == user]
        for one in sorted(own, key=lambda one: one.used)[:-_MOST_LOGINS]:
            self.end(one.id)
        return token, login

    def login(self, identity: str) -> Login | None:
        """Return a log-in, whether or not it is over."""
        return self._logins.get(identity)

    def logins(self) -> list[Login]:
        """Return all of them."""
        return list(self._logins.values())

    def touch(self, login: Login, now: float) -> None:
        """Note that a log-in is in use."""
        if login.id not in self._logins:
            return
        self._logins[login.id] = replace(login, used=now)
        if now - self._written[login.id] > _TOUCHED_EVERY:
            self._written[login.id] = now
            self._db.note("UPDATE logins SET used = ? WHERE id = ?", now, login.id)

    def end(self, identity: str) -> None:
        """Forget a log-in; its consoles stay until they have ended."""
        self._logins.pop(identity, None)
        self._written.pop(identity, None)
        self._db.note("DELETE FROM logins WHERE id = ?", identity)

    def open(self, console: Console) -> None:
        """Keep a console. Raises StoreError."""
        insert = "INSERT OR REPLACE INTO consoles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._db.write(insert, *astuple(console))
        self._consoles[console.id] = console

    def keep(self, console: Console) -> None:
        """Keep one that is there in any case, or belongs to another log-in now."""
        self._consoles[console.id] = console
        with suppress(StoreError):
            self.open(console)

    def console(self, identity: str) -> Console | None:
        """Return one that is open."""
        return self._consoles.get(identity)

    def consoles(self) -> list[Console]:
        """Return those that are open."""
        return list(self._consoles.values())

    def close_console(self, identity: str) -> None:
        """Forget one."""
        self._consoles.pop(identity, None)
        self._db.note("DELETE FROM consoles WHERE id = ?", identity)

    def know(self, user: str, place: str, now: float) -> None:
        """Keep where somebody has logged in from."""
        self._db.note(
            "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)", f"{place} {user}", user, place, now
        )
        self._db.note(
            "DELETE FROM places WHERE user = ? AND id NOT IN"
            " (SELECT id FROM places WHERE user = ? ORDER BY at DESC LIMIT ?)",
            user,
            user,
            _MOST_PLACES,
        )

    def forget_user(self, user: str) -> None:
        """Forget where somebody has logged in from."""
        self._db.note("DELETE FROM places WHERE user = ?", user)

    def keep_answer(self, host: str, answer: Answer) -> None:
        """Keep what a host told last."""
        self.answers[host] = answer
        vms = json.dumps([astuple(vm) for vm in answer.vms])
        self._db.note("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", host, answer.at, vms)

    def keep_endpoint(self, host: str, address: Address) -> None:
        """Keep where a host's endpoint is."""
        if self.endpoints.get(host) != address:
            self.endpoints[host] = address
            insert = "INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?, ?)"
            self._db.note(insert, host, *astuple(address))

    def forget_host(self, host: str) -> None:
        """Forget what a host told, and where it is."""
        self.answers.pop(host, None)
        self.endpoints.pop(host, None)
        self._db.note("DELETE FROM answers WHERE id = ?", host)
        self._db.note("DELETE FROM endpoints WHERE id = ?", host)


def _mark(path: Path) -> str:
    """Return the mark in a file, which is made if it has none. Raises OSError."""
    # Beside the database: consoles are this gateway's even where nothing else is known of them.
    found = path.read_text("ascii", "replace") if path.exists() else ""
    if not _MARK.fullmatch(found):
        found = secrets.token_hex(4)
        path.write_text(found)
    return found
