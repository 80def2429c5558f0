# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What a check comes to: one verdict a console, from what two probes saw.

The first probe asks the VNC server itself, on the hypervisor; the second opens
the console as a visitor does. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def state(server: Mapping[str, Any]) -> str:
    """Return ``running``, ``off`` or ``unknown`` from the probe of a VNC server.

    A VM known by its target only is off where nothing listens.
    """
    if server["ok"]:
        return "running"
    return "off" if server["refused"] else "unknown"


def with_state(
    consoles: Sequence[Mapping[str, Any]], servers: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the entries of a host's ``consoles.json``, each with its ``state``."""
    server_of = {result["name"]: result for result in servers}
    return [{**console, "state": state(server_of[console["vm"]])} for console in consoles]


def probe_targets(
    consoles: Sequence[Mapping[str, Any]],
    key: str,
    servers: Sequence[Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Return the targets of a probe, as M(novnc.fleet.console_probe) wants them.

    Args:
        consoles: entries of a host's ``consoles.json``.
        key: ``vnc`` for the VNC servers (whatever they are called), or
            ``websocket`` for the consoles, which have to show the right VM.
        servers: results for the VNC servers; with them, VMs that do not run
            are left out.
    """
    running = {result["name"] for result in servers or () if state(result) == "running"}
    targets = []
    for console in consoles:
        if servers is not None and console["vm"] not in running:
            continue
        target = {"name": console["vm"], "url": console[key]}
        if key == "websocket":
            target |= {
                "expect_name": console["expect_name"],
                "strict": console["expect_strict"],
                "origin": console["origins"][0],
                "page": console["url"].partition("#")[0],
            }
        targets.append(target)
    return targets


def verdicts(
    consoles: Sequence[Mapping[str, Any]],
    servers: Sequence[Mapping[str, Any]],
    visits: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return one entry a console, in order.

    Args:
        consoles: entries of the host's ``consoles.json``.
        servers: results of probing their VNC servers on the hypervisor.
        visits: results of probing the consoles themselves; those of VMs that
            are off may be missing.

    Returns:
        Dictionaries with ``host``, ``vm``, ``url``, ``state``, ``verdict``
        (``running``, ``unverified``, ``off`` or ``fault``) and ``error``.
    """
    server_of = {result["name"]: result for result in servers}
    visit_of = {result["name"]: result for result in visits}
    found = []
    for console in consoles:
        server, visit = server_of[console["vm"]], visit_of.get(console["vm"])
        entry = {key: console[key] for key in ("host", "vm", "url")}
        entry["state"] = state(server)
        entry["verdict"], entry["error"] = _judge(entry["state"], server, visit)
        found.append(entry)
    return found


def _judge(
    seen: str, server: Mapping[str, Any], visit: Mapping[str, Any] | None
) -> tuple[str, str]:
    if seen == "off":
        return "off", ""
    if seen == "unknown" or visit is None:
        return "fault", f"its VNC server: {server['error'] or 'was not asked'}"
    if not visit["ok"]:
        return "fault", f"{visit['hop']}: {visit['error']}"
    return ("running" if visit["verified"] else "unverified"), ""


def table(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return verdicts as lines: one a console with host, VM, verdict and URL."""
    rows = [[entry["host"], entry["vm"], entry["verdict"], entry["url"]] for entry in entries]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = []
    for row, entry in zip(rows, entries):
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        lines.append("  ".join([*cells, row[3]]).rstrip())
        if entry["error"]:
            lines.append(f"    {entry['error']}")
    return lines
