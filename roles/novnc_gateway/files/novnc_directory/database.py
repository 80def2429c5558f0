# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A file of SQLite that may be full or damaged, which ends no service."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from novnc_directory.audit import journal


class StoreError(Exception):
    """What has to be kept cannot be written; the message says why."""


class DamagedError(Exception):
    """What is in the file is not what was written into it; the message says how."""


class Database:
    """The file.

    Attributes:
        fault: Why nothing can be written; empty while it can.
    """

    def __init__(self, path: Path, tables: Mapping[str, Sequence[str]], layout: int) -> None:
        """Open nothing yet.

        Args:
            path: The file, which is made if there is none.
            tables: Columns of each table; the first is its key.
            layout: Of the tables; where the file has another, they are made anew.
        """
        self.fault = ""
        self._path, self._tables, self._layout = path, tables, layout

    def open(self) -> None:
        """Open or make it. Raises DamagedError, sqlite3.Error."""
        # Each statement is a transaction of its own.
        self._file = sqlite3.connect(self._path, isolation_level=None)
        # A crash of the machine may cost the last log-ins, a crash of the service costs nothing.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
            self.read(f"PRAGMA {pragma}")
        for (found,) in self.read("PRAGMA quick_check"):
            if found != "ok":
                raise DamagedError(found)
        if self.read("PRAGMA user_version") != [(self._layout,)]:
            for table, columns in self._tables.items():
                self._file.execute(f"DROP TABLE IF EXISTS {table}")
                names = ", ".join(columns)
                self._file.execute(f"CREATE TABLE {table} ({names}, PRIMARY KEY ({columns[0]}))")
            self._file.execute(f"PRAGMA user_version = {self._layout}")

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def set_aside(self) -> Path:
        """Put it where it harms nobody; return where. Raises OSError."""
        self.close()
        aside = self._path.with_name(f"{self._path.name}.damaged")
        for end in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + end).replace(f"{aside}{end}")
        return aside

    def read(self, statement: str) -> list[tuple[Any, ...]]:
        """Return rows. Raises DamagedError, sqlite3.Error."""
        try:
            return self._file.execute(statement).fetchall()
        except sqlite3.OperationalError:
            raise  # full, locked or out of reach
        except sqlite3.DatabaseError as error:
            raise DamagedError(str(error)) from error

    def write(self, statement: str, *values: object) -> None:
        """Write something down. Raises StoreError."""
        try:
            self._file.execute(statement, values)
        except sqlite3.Error as error:
            if str(error) != self.fault:
                reason = f"{error}: nobody new gets in until {self._path} can be written"
                journal("state-broken", reason=reason)
            self.fault = str(error)
            raise StoreError(self.fault) from error
        if self.fault:
            journal("state-works")
        self.fault = ""

    def note(self, statement: str, *values: object) -> None:
        """Write down what is so in any case: only the next start would not know it."""
        with suppress(StoreError):
            self.write(statement, *values)
