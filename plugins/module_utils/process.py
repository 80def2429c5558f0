# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A process of a host, told from any other that has its number later (proc(5))."""

from __future__ import annotations

from dataclasses import dataclass

PROC = "/proc"


@dataclass(frozen=True)
class Process:
    """One process.

    Attributes:
        pid: Its number, which the kernel gives to another once it has ended.
        started: When it started, in clock ticks since the boot.
    """

    pid: int
    started: int


def running_process(pid: int, proc: str = PROC) -> Process:
    """Return the process that has a number now.

    Raises:
        ProcessLookupError: There is none, or it has ended and only waits for its parent to know.
        OSError: This user may not look.
    """
    with open(f"{proc}/{pid}/stat", encoding="utf-8", errors="replace") as file:
        # The program's name stands in brackets, and may hold brackets and spaces itself.
        fields = file.read().rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        raise ProcessLookupError(f"process {pid} has ended")
    return Process(pid, int(fields[19]))


def still_runs(process: Process, proc: str = PROC) -> bool:
    """Tell whether a process has not ended since; no where this user may not look."""
    try:
        return running_process(process.pid, proc) == process
    except OSError:
        return False
