# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""HEALTHCHECK: the VM's VNC server greets."""

from __future__ import annotations

import os

from novnc_image.environment import run
from novnc_image.health import check, inside, speaks_rfb

from novnc_vm_image.settings import read_settings


def main() -> None:
    """Look. Raises WrittenError, SystemExit."""
    settings = read_settings(os.environ)
    check(lambda: speaks_rfb(inside(settings.vnc)))


if __name__ == "__main__":
    run(main)
