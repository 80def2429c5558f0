# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Start the endpoint: ``python3 -m novnc_endpoint SETTINGS``, with its listener as descriptor 3.

With ``--check SETTINGS`` it only says whether these settings and their certificates can be used.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys

from novnc_endpoint.server import Server
from novnc_endpoint.sessions import journal
from novnc_endpoint.settings import read_settings
from novnc_endpoint.tls import server_context


async def make(settings_file: str) -> Server:
    """Return the server; asyncio wants it to be made where it runs."""
    return Server(settings_file)


def main(settings_file: str) -> None:
    """Serve until told to stop, and see off who is still here.

    Raises:
        OSError: The settings, the certificates or the listener cannot be used; and so ValueError
            and KeyError.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    server = loop.run_until_complete(make(settings_file))
    # All that is there now stays: what sessions leave behind is found sooner and in less time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 1)
    loop.run_until_complete(server.serve())
    if server.sessions:
        journal("draining", sessions=server.sessions)
        # For systemd the service has stopped; the loop, at rest here, goes on in the child.
        if os.fork():
            os._exit(0)
        loop.run_until_complete(server.see_sessions_off())
    else:
        server.close()
    # Not by way of the interpreter's end: it would wait for threads that a child does not have.
    os._exit(0)


def check(settings_file: str) -> None:
    """Raise what `main` would, for settings and certificates."""
    settings = read_settings(settings_file)
    server_context(settings.cert, settings.key, settings.ca)


if __name__ == "__main__":
    try:
        if sys.argv[1] == "--check":
            check(sys.argv[2])
        else:
            main(sys.argv[1])
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"the endpoint cannot work: {type(error).__name__}: {error}")
