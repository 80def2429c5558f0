# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who looks at what on this host, by direct consoles and by the endpoint; and how to end it.

A session is a dictionary with ``session`` (what to call it), ``vm``, ``uuid``, ``way`` (``direct``
or ``endpoint``), ``user``, ``client``, ``mode``, ``bytes_in``, ``bytes_out`` and ``seconds``. Of
direct ones nobody knows the user, and nobody counts the bytes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.connections import (
    SS_TCP,
    Connection,
    parse_tcp,
    unix_inodes,
)
from ansible_collections.novnc.fleet.plugins.module_utils.systemd import SystemdError
from ansible_collections.novnc.fleet.plugins.module_utils.text_table import aligned
from ansible_collections.novnc.fleet.plugins.module_utils.units import service_unit
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Vm

from novnc_console_command.control import Control
from novnc_console_command.host import Host, Known, run

Session = dict[str, Any]

_STANDARD_ERROR = 2

HEADING = ("SESSION", "VM", "WAY", "USER", "CLIENT", "MODE", "SECONDS")


def sessions(known: Known, control: Control) -> list[Session]:
    """Return all sessions of the host. Raises ControlError and SystemdError."""
    return direct_sessions(known) + [{**one, "way": "endpoint"} for one in control.sessions()]


def direct_sessions(known: Known) -> list[Session]:
    """Return the sessions of direct consoles. Raises SystemdError."""
    connections = parse_tcp(_asked(SS_TCP))
    found = []
    for console in known.consoles:
        if not console["listen"]:
            continue
        unix = console["vnc"].startswith("unix:")
        for process, visitor in viewers(console["listen"], connections).items():
            # Something else may listen there by now, the VM's own QEMU for one.
            if not _is_of(process, service_unit(console["vm"])):
                continue
            # Who only loads the page has no way on to the VM.
            if not (_has_unix(process) if unix else _has_tcp(process, visitor, connections)):
                continue
            found.append(
                {
                    "session": f"d{process}",
                    "vm": console["vm"],
                    "uuid": known.survey.uuid_of.get(console["vm"], ""),
                    "way": "direct",
                    "user": "",
                    "client": visitor.peer,
                    "mode": "control",
                    "bytes_in": None,
                    "bytes_out": None,
                    "seconds": _age(process),
                }
            )
    return found


def viewers(listen: str, connections: Sequence[Connection]) -> dict[int, Connection]:
    """Return what came in at a listener, by the process that has it. Pure."""
    return {
        process: connection
        for connection in connections
        if connection.is_at(listen)
        for process in connection.processes
    }


def _is_of(process: int, unit: str) -> bool:
    """Tell whether a process belongs to a unit."""
    try:
        groups = Path(f"/proc/{process}/cgroup").read_text().splitlines()
    except OSError:  # it has ended
        return False
    return any(group.rpartition("/")[2] == unit for group in groups)


def _has_tcp(process: int, visitor: Connection, connections: Sequence[Connection]) -> bool:
    """Tell whether a visitor's process has another connection, which is to the VM."""
    return any(process in one.processes and one != visitor for one in connections)


def _asked(command: Sequence[str]) -> str:
    status, out, error = run(command)
    if status != 0:
        raise SystemdError(f"'{' '.join(command)}' failed: {error.strip()}; is iproute2 there?")
    return out


def _has_unix(process: int) -> bool:
    """Tell whether a process is connected to a unix socket, the journal's left out.

    ss(8) does not show it: such a console has a network of its own, and both ends are there.
    """
    try:
        inodes = unix_inodes(Path(f"/proc/{process}/net/unix").read_text())
        sockets = {f"socket:[{inode}]" for inode in inodes}
        return any(
            os.readlink(path) in sockets
            for path in Path(f"/proc/{process}/fd").iterdir()
            if int(path.name) > _STANDARD_ERROR
        )
    except OSError:  # it has ended
        return False


def _age(process: int) -> float | None:
    """Return how long a process has been there, in seconds; None if it has ended."""
    try:
        # After the name, which may hold anything, come the fields from the third on (proc(5)).
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return None
    return round(max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")), 1)


def end_all(host: Host, known: Known, control: Control, vm: Vm, user: str) -> list[Session]:
    """End every session of a VM and return them; its listeners stay.

    Raises ControlError and SystemdError.
    """
    mine = [one for one in sessions(known, control) if one["uuid"] == vm.uuid]
    for console in sorted({one["vm"] for one in mine if one["way"] == "direct"}):
        host.systemd.call("stop", service_unit(console))
    return [one for one in mine if one["way"] == "direct" or control.end(one["session"], user)]


def end_one(known: Known, control: Control, identity: str, user: str) -> list[Session]:
    """End one session and return it in a list, or an empty one. Raises as `end_all`."""
    for one in sessions(known, control):
        if one["session"] != identity:
            continue
        if one["way"] == "endpoint":
            return [one] if control.end(identity, user) else []
        try:
            os.kill(int(identity[1:]), signal.SIGTERM)
        except ProcessLookupError:
            return []
        return [one]
    return []


def table(found: Sequence[Session]) -> list[str]:
    """Return sessions as lines for people. Pure."""
    return aligned([HEADING, *([_shown(one.get(key.lower())) for key in HEADING] for one in found)])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}"
    return "-" if value in (None, "") else str(value)
