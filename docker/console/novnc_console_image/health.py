# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""HEALTHCHECK: the VNC server greets, and the listener answers."""

from __future__ import annotations

import os

from novnc_image.environment import run
from novnc_image.health import check, fetched, inside, speaks_rfb

from novnc_console_image.settings import read_settings


def main() -> None:
    """Look. Raises WrittenError, SystemExit."""
    settings = read_settings(os.environ)
    check(
        lambda: speaks_rfb(settings.target),
        lambda: fetched(inside(settings.listen), "/vnc.html", tls=settings.tls is not None),
    )


if __name__ == "__main__":
    run(main)
