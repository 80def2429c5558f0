# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Run the endpoint, or make certificates for it: ``certificates --help``."""

from __future__ import annotations

import signal
import sys

from novnc_image.environment import run
from novnc_image.listener import listen
from novnc_service.generations import Generations
from novnc_service.supervisor import Program, supervise

from novnc_endpoint_image import certificates
from novnc_endpoint_image.settings import (
    ADDRESS,
    RUN,
    SETTINGS,
    check_mounts,
    listen_address,
    make,
)


def main() -> None:
    """Serve until told to stop. Raises WrittenError, SystemExit."""
    check_mounts()
    generations = Generations(RUN)
    make(generations)
    address = listen_address()
    listener = listen(address, ADDRESS)
    endpoint = Program(
        "the endpoint",
        [sys.executable, "-s", "-m", "novnc_endpoint", SETTINGS],
        # Ends the sessions too, and tells visitors why.
        stop=signal.SIGINT,
        listener=listener.fileno(),
    )
    raise SystemExit(supervise([endpoint], lambda: make(generations, address)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["certificates"]:
        certificates.main(sys.argv[2:])
    else:
        run(main)
