# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The command line: ``novnc-console list|sessions|kill|doctor``.

Ends with 0 if all is well, 1 if there is a fault or nothing to do, and 2 if it was called wrongly.
"""

from __future__ import annotations

import argparse
import getpass
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.diagnosis import lines
from ansible_collections.novnc.fleet.plugins.module_utils.systemd import SystemdError
from ansible_collections.novnc.fleet.plugins.module_utils.text_table import printable
from ansible_collections.novnc.fleet.plugins.module_utils.vms import VmsError

from novnc_console_command import VERSION, listing, sessions
from novnc_console_command.control import Control, ControlError
from novnc_console_command.doctor import diagnose
from novnc_console_command.host import Host, UsageError

FINE, FAULT, USAGE = 0, 1, 2

NAMED = "a VM is named by its name or uuid"


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    found = argparse.ArgumentParser(
        prog="novnc-console",
        description="The consoles of this host's VMs.",
        epilog="Exit status: 0 all is well, 1 a fault was found or there was nothing to end, 2 it"
        " was called wrongly.",
        allow_abbrev=False,
    )
    found.add_argument("--version", action="version", version=f"novnc-console {VERSION}")
    commands = found.add_subparsers(dest="command", metavar="COMMAND", required=True)
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON instead of text")

    def command(name: str, told: str, more: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=told, description=f"{told}. {more}", parents=[as_json], allow_abbrev=False
        )

    command(
        "list",
        "Tell which VMs the host has, and where their consoles are",
        "Changes nothing; what only root may know is left out for others.",
    )
    command(
        "sessions",
        "Tell who looks at which VM",
        "Of direct consoles, which have no login, only the address is known. Needs root.",
    )
    ending = command(
        "kill",
        "End all sessions of a VM, or one session",
        "Whoever may open the console can come back. Needs root.",
    )
    ending.add_argument("what", metavar="VM|SESSION", help=f"{NAMED}; a session as 'sessions' does")
    walking = command(
        "doctor",
        "Walk the way to a VM's consoles and name the first broken hop, and its mend",
        "Goes from the VM to its VNC server, and from there to each console. Needs root.",
    )
    walking.add_argument("vm", metavar="VM", help=NAMED)
    return found


def main(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    Args:
        name: The host's name in the inventory.
        arguments: The command line; the process's own by default.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the locale, no name ends the command
            stream.reconfigure(errors="backslashreplace")
    said = parser().parse_args(arguments)
    try:
        if said.command != "list" and os.geteuid() != 0:
            raise UsageError(f"'{said.command}' needs root; write sudo novnc-console …")
        return run(said, Host(name), Control())
    except UsageError as error:
        return _complain(error, USAGE)
    except (VmsError, SystemdError, ControlError) as error:
        return _complain(error, FAULT)
    except PermissionError as error:
        return _complain(UsageError(f"{error}; write sudo novnc-console …"), USAGE)


def _complain(error: Exception, status: int) -> int:
    print(f"novnc-console: {printable(str(error))}", file=sys.stderr)
    return status


def run(said: argparse.Namespace, host: Host, control: Control) -> int:
    """Do what the command line says and return the exit status.

    Raises UsageError, VmsError, SystemdError, ControlError.
    """
    if said.command == "doctor":
        found = diagnose(host, control, said.vm)
        about = " ".join(filter(None, (found["vm"], found["uuid"], f"on {found['host']}")))
        tell(said, found, [printable(about), *lines(found["hops"])])
        return FAULT if found["fault"] else FINE
    known = host.look()
    if said.command == "list":
        entries = listing.listing(known)
        tell(said, entries, listing.table(entries))
        return FINE
    if said.command == "sessions":
        there = sessions.sessions(known, control)
        tell(said, there, sessions.table(there) if there else ["nobody looks at any VM"])
        return FINE
    vm = known.find(said.what)
    user = os.environ.get("SUDO_USER") or getpass.getuser()
    if vm:
        ended = sessions.end_all(host, known, control, vm, user)
    else:
        ended = sessions.end_one(known, control, said.what, user)
    told = [f"ended {one['session']} of {one['vm']}" for one in ended]
    nothing = f"nobody looks at {vm.name}" if vm else f"there is no VM or session {said.what!r}"
    tell(said, ended, [printable(one) for one in told or [nothing]])
    return FINE if ended else FAULT


def tell(said: argparse.Namespace, data: Any, text: Sequence[str]) -> None:
    """Print data as JSON, or the text for people."""
    print(json.dumps(data, indent=2) if said.json else "\n".join(text))
