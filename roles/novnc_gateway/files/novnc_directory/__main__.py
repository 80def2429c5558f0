# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Start the directory: ``python3 -m novnc_directory [--check] SETTINGS``.

Its listener is descriptor 3. With ``--check`` the settings are read, and that is all.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys

from novnc_directory.endpoints import client_context
from novnc_directory.server import Server
from novnc_directory.settings import read_settings


async def serve(settings_file: str) -> None:
    """Serve until told to stop; asyncio wants the server to be made where it runs."""
    await Server(settings_file).serve()


def main(arguments: list[str]) -> None:
    """Serve, or check the settings. Raises whatever speaks against either."""
    if arguments[0] == "--check":
        client_context(read_settings(arguments[1]))
    else:
        asyncio.run(serve(arguments[0]))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error) as error:
        sys.exit(f"the directory cannot work: {type(error).__name__}: {error}")
