# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The endpoint's state in Prometheus' text format."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Process(NamedTuple):
    """One process of the endpoint.

    Attributes:
        sessions: Those that are open, as `novnc_endpoint.sessions` tells of them.
        memory: Bytes of memory in use.
        descriptors: How many are open.
        tasks: How many things it is doing at once.
    """

    sessions: list[dict[str, Any]]
    memory: int
    descriptors: int
    tasks: int


def process_now(sessions: list[dict[str, Any]]) -> Process:
    """Return this process, whose open sessions these are."""
    descriptors = len(os.listdir("/proc/self/fd"))
    return Process(sessions, _resident(), descriptors, len(asyncio.all_tasks()))


def exposition(
    processes: Sequence[Process], totals: Mapping[str, int], refusals: Mapping[int, int]
) -> str:
    """Return the metrics: what is open now in all processes, and sums since the newest began."""
    sessions = [session for one in processes for session in one.sessions]
    modes = Counter(one["mode"] for one in sessions)
    received = totals["bytes_in"] + sum(one["bytes_in"] for one in sessions)
    sent = totals["bytes_out"] + sum(one["bytes_out"] for one in sessions)
    memory = sum(one.memory for one in processes)
    descriptors = sum(one.descriptors for one in processes)
    tasks = sum(one.tasks for one in processes)
    families: list[tuple[str, str, str, dict[str, float]]] = [
        (
            "sessions",
            "gauge",
            "Sessions that are open.",
            {f'{{mode="{mode}"}}': modes[mode] for mode in ("control", "watch")},
        ),
        ("sessions_total", "counter", "Sessions begun.", {"": totals["sessions"]}),
        (
            "bytes_total",
            "counter",
            "Bytes of RFB from and to visitors.",
            {'{direction="in"}': received, '{direction="out"}': sent},
        ),
        (
            "refusals_total",
            "counter",
            "Requests refused, by HTTP status.",
            {f'{{status="{status}"}}': count for status, count in sorted(refusals.items())},
        ),
        ("resident_memory_bytes", "gauge", "Memory in use.", {"": memory}),
        ("open_fds", "gauge", "Open descriptors.", {"": descriptors}),
        ("tasks", "gauge", "Things being done at once.", {"": tasks}),
    ]
    lines = []
    for name, kind, meaning, values in families:
        lines += [f"# HELP novnc_endpoint_{name} {meaning}", f"# TYPE novnc_endpoint_{name} {kind}"]
        lines += [f"novnc_endpoint_{name}{labels} {value}" for labels, value in values.items()]
    return "\n".join([*lines, ""])


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
