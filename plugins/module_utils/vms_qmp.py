# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""VMs as QEMU's monitor tells of them, where its socket is given (QMP)."""

from __future__ import annotations

import json
import socket
from typing import Any, BinaryIO

from ansible_collections.novnc.fleet.plugins.module_utils.vm import (
    Display,
    own_uuid,
    tcp_display,
    unix_display,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_qemu import QemuVm

MAX_LINE = 1 << 20
"""Bytes of an answer that are read at most."""

MAX_EVENTS = 1000
"""Events that may come before an answer."""


def ask_monitor(name: str, path: str, timeout: float = 2.0) -> QemuVm:
    """Return the VM behind a QMP socket; one that does not run where nobody listens there.

    Args:
        name: What to call it if it has no name of its own.
        path: The socket. It serves one client at a time.
        timeout: Seconds for each answer.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(path)
            with connection.makefile("rwb") as stream:
                _read(stream, "QMP")
                _ask(stream, "qmp_capabilities")
                own = _ask(stream, "query-name").get("name") or name
                uuid = own_uuid(_ask(stream, "query-uuid").get("UUID", ""))
                return QemuVm(own, uuid, tuple(parse_servers(_ask(stream, "query-vnc-servers"))))
        except (FileNotFoundError, ConnectionRefusedError):
            return QemuVm(name, "", running=False)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            said = f"its QMP socket {path} was of no use: {error or type(error).__name__}"
            return QemuVm(name, "", warnings=(said,), running=False)


def _ask(stream: BinaryIO | Any, command: str) -> Any:
    stream.write(json.dumps({"execute": command}).encode() + b"\n")
    stream.flush()
    return _read(stream, "return")


def _read(stream: BinaryIO | Any, key: str) -> Any:
    """Return what the next message has under a key; events in between are passed over."""
    for _ in range(MAX_EVENTS):
        message = json.loads(stream.readline(MAX_LINE) or b"null")
        if message is None:
            raise ValueError("it was closed before the answer")
        if "error" in message:
            raise ValueError(f"it says {message['error'].get('desc')!r}")
        if key in message:
            return message[key]
    raise ValueError("it sends events without end")


def parse_servers(servers: Any) -> list[Display]:
    """Return the displays in an answer to ``query-vnc-servers``."""
    found = []
    for server in servers:
        listeners = server["server"]
        websocket = next((int(one["service"]) for one in listeners if one["websocket"]), 0)
        for one in listeners:
            # What QEMU itself checks; certificates of visitors are no password.
            secret = one["auth"] not in ("none", "vencrypt") or one.get("vencrypt", "").endswith(
                ("vnc", "plain", "sasl")
            )
            if one["websocket"]:
                continue
            if one["family"] == "unix":
                found.append(unix_display(one["host"] or one["service"], secret))
            else:
                found.append(tcp_display(one["host"], int(one["service"]), websocket, secret))
    return found
