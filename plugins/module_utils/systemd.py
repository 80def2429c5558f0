# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The few systemctl calls that consoles need; their number does not grow with the VMs."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.listeners import SS, parse_ss
from ansible_collections.novnc.fleet.plugins.module_utils.units import DROP_IN, TARGET

STOP_TIMEOUT = 90
"""Seconds in which what is stopped must be gone (systemd's own default)."""

CONSOLE_UNITS = ("novnc-console@*.socket", "novnc-console@*.service")

AT_REST = ("inactive", "failed")


@dataclass(frozen=True)
class UnitStates:
    """The consoles' units at one moment, by name.

    Attributes:
        active: Those that are not at rest.
        ours: Those in which nobody else has a hand.
        stale: Whether unit files have changed since systemd read them.
        processes: The main process of each service that has one.
    """

    active: set[str]
    ours: set[str]
    stale: bool
    processes: dict[str, int]


class SystemdError(Exception):
    """systemd did not do what it was told; a sentence with its own words."""


class Systemd:
    """systemd as seen from a module.

    Args:
        run_command: AnsibleModule.run_command; returns status, output and errors.
    """

    def __init__(self, run_command: Callable[[Sequence[str]], tuple[int, str, str]]) -> None:
        self._run_command = run_command

    def call(self, *words: str) -> str:
        """Return what systemctl prints. Raises SystemdError if it fails."""
        status, out, error = self._run_command(["systemctl", *words])
        if status != 0:
            raise SystemdError(f"systemctl {words[0]} failed: {(error or out).strip()}")
        return str(out)

    def units(self) -> UnitStates:
        """Return how the consoles' units are now, running or not. Raises SystemdError."""
        properties = "--property=Id,ActiveState,NeedDaemonReload,DropInPaths,MainPID"
        out = self.call("show", "--all", properties, *CONSOLE_UNITS, TARGET)
        blocks = (block.splitlines() for block in out.split("\n\n") if block.strip())
        units = [dict(line.split("=", 1) for line in block) for block in blocks]
        return UnitStates(
            active={one["Id"] for one in units if one["ActiveState"] not in AT_REST},
            ours={
                one["Id"]
                for one in units
                if all(posixpath.basename(path) == DROP_IN for path in one["DropInPaths"].split())
            },
            stale=any(one["NeedDaemonReload"] == "yes" for one in units),
            processes={
                one["Id"]: int(one["MainPID"]) for one in units if one.get("MainPID", "0") != "0"
            },
        )

    def listeners(self) -> set[str]:
        """Return where anything listens on TCP, as ``address:port``. Raises SystemdError."""
        status, out, error = self._run_command(list(SS))
        if status != 0:
            raise SystemdError(f"'{' '.join(SS)}' failed: {error.strip()}")
        return {str(listener) for listener in parse_ss(out)}

    def stop(self, units: Collection[str]) -> None:
        """Stop units and wait until their ports are closed and their viewers gone.

        Without ``--no-block`` stopping many units takes time quadratic in their number.
        Raises SystemdError.
        """
        if not units:
            return
        self.call("stop", "--no-block", *sorted(units))
        deadline = time.monotonic() + STOP_TIMEOUT
        while left := self.units().active & set(units):
            if time.monotonic() > deadline:
                raise SystemdError(f"still running after {STOP_TIMEOUT} s: {sorted(left)}")
            time.sleep(0.1)

    def start(self, units: Sequence[str]) -> None:
        """Start units. Raises SystemdError with the journal's words for those that do not."""
        if not units:
            return
        status, _out, error = self._run_command(["systemctl", "start", *units])
        if status == 0:
            return
        active = self.units().active
        failed = [unit for unit in units if unit not in active][:5]
        told = [f"could not be started: {', '.join(failed)}" if failed else error.strip()]
        for unit in failed:
            journal = ["journalctl", "--output=cat", "--no-pager", "--lines=2", f"--unit={unit}"]
            told.append(self._run_command(journal)[1].strip())
        raise SystemdError("\n".join(told))
