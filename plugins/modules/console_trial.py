#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""See that a console works with given versions, before they are put in force."""

from __future__ import annotations

DOCUMENTATION = r"""
module: console_trial
short_description: See that a console works with given versions of noVNC and websockify
version_added: 0.1.0
description:
  - Starts the consoles' program on a free port of the loopback interface as a user without rights,
    loads noVNC's page from it and goes through its WebSocket, and ends it.
  - At its other end is not a VM, but a listener of this module, so that nobody is looked at.
options:
  proxy:
    description: The consoles' program.
    type: path
    required: true
  python:
    description: The interpreter that runs it.
    type: path
    default: /usr/bin/python3
  web_root:
    description: The noVNC to try.
    type: path
    required: true
  library:
    description: The directory with the websockify to try.
    type: path
    required: true
  user:
    description: The user to run as.
    type: str
    default: nobody
  timeout:
    description: Seconds for all of it.
    type: int
    default: 20
attributes:
  check_mode:
    support: full
    description: Changes nothing in either mode.
  diff_mode:
    support: none
    description: There is no difference to show.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Does a console work with noVNC 1.7.0?
  novnc.fleet.console_trial:
    proxy: /usr/local/lib/novnc-fleet/console_proxy.py
    web_root: /opt/novnc/1.7.0
    library: /usr/lib/python3/dist-packages
"""

RETURN = r"""
msg:
  description: Why a console does not work with them, with what it said itself.
  returned: failure
  type: str
"""

import pwd
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError
from ansible_collections.novnc.fleet.plugins.module_utils.page import fetch_page

GREETING = b"RFB 003.008\n"
PAGES = ("vnc.html", "app/ui.js", "core/rfb.js")


@contextmanager
def greeter() -> Iterator[int]:
    """Yield a port on 127.0.0.1 where each caller is greeted as by a VNC server, and left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with suppress(OSError):  # closed at the end
                while True:
                    caller, _ = listener.accept()
                    with caller:
                        caller.sendall(GREETING)
                        caller.recv(1)

        threading.Thread(target=greet, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def started(params: dict[str, Any], target: int, log: Any) -> Iterator[int]:
    """Start the program as systemd would; yield the port on which it serves.

    Raises OSError if it cannot be started.
    """
    user = pwd.getpwnam(params["user"])
    environment = {
        "NOVNC_CONSOLE_TARGET": f"127.0.0.1:{target}",
        "NOVNC_CONSOLE_ORIGINS": "",
        "NOVNC_CONSOLE_TLS": "no",
        "NOVNC_CONSOLE_WEB_ROOT": params["web_root"],
        "NOVNC_CONSOLE_SETTINGS": "/nonexistent",
        "NOVNC_CONSOLE_LIBRARY": params["library"],
        "NOVNC_CONSOLE_IDLE_TIMEOUT": str(params["timeout"]),
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [params["python"], "-I", "-S", params["proxy"]],
            stdin=listener.fileno(),
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
        )
        port = int(listener.getsockname()[1])
        # The program alone must hold the port: when it ends, visitors are to see that.
        listener.close()
        try:
            yield port
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def visit(port: int, timeout: int) -> None:
    """Load the page and go through the WebSocket, as a visitor does. Raises HopError."""
    deadline = Deadline(timeout)
    for page in PAGES:
        fetch_page(f"http://127.0.0.1:{port}/{page}", deadline)
    left = deadline.remaining()
    with open_console(f"ws://127.0.0.1:{port}/websockify", timeout=left) as stream:
        found = stream.read_exactly(len(GREETING))
    if found != GREETING:
        raise HopError("rfb", f"{found!r} came through the WebSocket instead of {GREETING!r}")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "proxy": {"type": "path", "required": True},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "web_root": {"type": "path", "required": True},
            "library": {"type": "path", "required": True},
            "user": {"type": "str", "default": "nobody"},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    params = module.params
    with tempfile.TemporaryFile() as log:
        try:
            with greeter() as target, started(params, target, log) as port:
                visit(port, params["timeout"])
        except (HopError, OSError, KeyError) as error:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()[-3:]
            words = f"a console does not work with {params['web_root']} and {params['library']}"
            module.fail_json(
                msg=f"{words}: {error}" + "".join(f"\nit says: {line}" for line in said)
            )
            return
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
