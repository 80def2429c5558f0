# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Start the endpoint: ``python3 -m novnc_endpoint SETTINGS``, with its listener as descriptor 3."""

from __future__ import annotations

import asyncio
import sys

from novnc_endpoint.server import Server


async def main(settings_file: str) -> None:
    """Serve until told to stop."""
    await Server(settings_file).run()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"the endpoint cannot work: {type(error).__name__}: {error}")
