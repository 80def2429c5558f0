# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""HEALTHCHECK: the VNC server shakes hands, and the listener answers.

A server that wants a login is asked once: TigerVNC shuts out whoever keeps coming without one, and
visitors come from the same address.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, UnixTarget
from novnc_image.environment import run
from novnc_image.health import check, fetched, inside, speaks_rfb

from novnc_console_image.settings import read_settings

WANTS_LOGIN = Path("/dev/shm/novnc-wants-login")  # noqa: S108 (the container's own)
"""There once the server has said so; the one place that every container may write to."""


def reach(target: TcpTarget | UnixTarget) -> None:
    """See that the VNC server is there, unless that would do harm. Raises HopError."""
    if not WANTS_LOGIN.exists() and speaks_rfb(target):
        with suppress(OSError):
            WANTS_LOGIN.touch()


def main() -> None:
    """Look. Raises WrittenError, SystemExit."""
    settings = read_settings(os.environ)
    check(
        lambda: reach(settings.target),
        lambda: fetched(inside(settings.listen), "/vnc.html", tls=settings.tls is not None),
    )


if __name__ == "__main__":
    run(main)
