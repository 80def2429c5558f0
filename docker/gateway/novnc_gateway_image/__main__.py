# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Run nginx and the directory."""

from __future__ import annotations

import sys

from ansible_collections.novnc.fleet.plugins.module_utils.notation import UnixTarget
from novnc_image.environment import run
from novnc_image.listener import listen
from novnc_service.generations import Generations
from novnc_service.supervisor import Program, supervise

from novnc_gateway_image.settings import DIRECTORY_JSON, NGINX, NGINX_CONF, RUN, SOCKET, make


def main() -> None:
    """Serve until told to stop. Raises WrittenError, SystemExit."""
    generations = Generations(RUN)
    metrics = make(generations)
    listener = listen(UnixTarget(SOCKET))
    directory = Program(
        "the directory",
        [sys.executable, "-s", "-m", "novnc_directory", DIRECTORY_JSON],
        listener=listener.fileno(),
        # It is on nobody's way: consoles go on without it.
        vital=False,
    )
    nginx = Program("nginx", [NGINX, "-c", NGINX_CONF, "-g", "daemon off;"])
    raise SystemExit(supervise([directory, nginx], lambda: make(generations, metrics)))


if __name__ == "__main__":
    run(main)
