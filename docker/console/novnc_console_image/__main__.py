# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Listen, and become the program that runs consoles on hosts."""

from __future__ import annotations

import json
import os
import sys

from novnc_image.environment import run
from novnc_image.listener import listen

from novnc_console_image.settings import read_settings

CONTENT = "/usr/local/lib/novnc-fleet/image.json"
"""Where the roles have put what the console consists of (build.yml)."""


def main() -> None:
    """Become the console. Raises WrittenError."""
    settings = read_settings(os.environ)
    with open(CONTENT, encoding="utf-8") as file:
        content = json.load(file)
    # The program takes its listener from standard input, where systemd would put it.
    listener = listen(settings.listen)
    os.dup2(listener.fileno(), 0)
    environ = {
        "NOVNC_CONSOLE_TARGET": str(settings.target),
        "NOVNC_CONSOLE_ORIGINS": " ".join(settings.origins),
        "NOVNC_CONSOLE_TLS": "yes" if settings.tls else "no",
        "NOVNC_CONSOLE_WEB_ROOT": content["web_root"],
        "NOVNC_CONSOLE_SETTINGS": content["settings_root"],
        "NOVNC_CONSOLE_LIBRARY": content["library"],
        "NOVNC_CONSOLE_IDLE_TIMEOUT": "0",
    }
    if settings.tls:
        environ["NOVNC_CONSOLE_TLS_CERT"], environ["NOVNC_CONSOLE_TLS_KEY"] = settings.tls
    command = [sys.executable, "-I", "-S", content["program"]]
    os.execve(command[0], command, environ)  # noqa: S606 (there is no shell, and none is wanted)


if __name__ == "__main__":
    run(main)
