# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The other processes of this endpoint: those that upgrades have left, and the newest one.

Each has a unix socket in one directory, into which only the service's user and root get. One that
ends may leave a file there for the next.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aiohttp

MAIN = "main.sock"
"""Where the newest process is found, whatever its own socket is called."""
_LEFT = ".left"
"""Suffix of what a process has left behind."""
_TIMEOUT = aiohttp.ClientTimeout(total=1)


class Others:
    """The other processes, as seen by one.

    Attributes:
        path: Of its own socket.
    """

    def __init__(self, directory: str, own: str) -> None:
        """Know others by a directory; ``own`` names this process there."""
        self.path = os.path.join(directory, f"{own}.sock")
        self._directory = directory
        self._main = os.path.join(directory, MAIN)

    def become_main(self) -> None:
        """Be found at `MAIN` from now on, instead of another."""
        link = f"{self.path}.main"
        os.symlink(os.path.basename(self.path), link)
        os.replace(link, self._main)

    def leave(self) -> None:
        """Be found no more; another of the processes, if there is one, is then found at `MAIN`."""
        was_main = self.is_main
        with suppress(OSError):
            os.unlink(self.path)
        if was_main:
            left = self._sockets()
            if left:
                Others(self._directory, os.path.basename(left[0])[:-5]).become_main()
            else:
                with suppress(OSError):
                    os.unlink(self._main)

    def leave_behind(self, facts: Sequence[object]) -> None:
        """Leave something for the next process, instead of what has been left before."""
        path = f"{self.path}{_LEFT}"
        with suppress(OSError):
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                json.dump(facts, file)
            os.replace(f"{path}.new", path)

    def left_behind(self) -> list[Any]:
        """Return what others have left behind; once."""
        found = []
        for name in os.listdir(self._directory):
            path = os.path.join(self._directory, name)
            if name.endswith(_LEFT):
                with suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
                    found += json.load(file)
                with suppress(OSError):
                    os.unlink(path)
        return found

    @property
    def is_main(self) -> bool:
        """Whether there is no newer process."""
        try:
            return os.readlink(self._main) == os.path.basename(self.path)
        except OSError:
            return True

    async def ask(self, method: str, path: str, **headers: str) -> list[Any]:
        """Ask all others at once; return what those say that have something to say."""
        asked = [_ask(one, method, path, headers) for one in self._sockets()]
        return [one for one in await asyncio.gather(*asked) if one is not None]

    def _sockets(self) -> list[str]:
        """Return the sockets of the others."""
        own = (MAIN, os.path.basename(self.path))
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return [
            os.path.join(self._directory, name)
            for name in names
            if name.endswith(".sock") and name not in own
        ]

    async def tell_main(self, path: str, facts: object) -> bool:
        """Tell the newest process something; return whether it has heard it."""
        return await _ask(self._main, "POST", path, {}, facts) is not None


async def _ask(
    where: str, method: str, path: str, headers: dict[str, str], facts: object = None
) -> Any:
    """Return a process's answer; None without one."""
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(where), timeout=_TIMEOUT
            ) as session,
            session.request(
                method, f"http://localhost{path}", headers=headers, json=facts
            ) as answer,
        ):
            return await answer.json() if answer.status == 200 else None
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, ConnectionRefusedError) and not where.endswith(MAIN):
            with suppress(OSError):
                os.unlink(where)  # whose process was ended by force
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError):
        pass
    return None
