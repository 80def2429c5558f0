# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What a check comes to: one verdict a console, from what two probes saw.

The first probe asks the VNC server itself, on the hypervisor; the second opens
the console as a visitor does. Behind an endpoint the VMs themselves are asked for
first (novnc.fleet.vm_info), and the console is opened as a gateway does. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FULL = 503
"""How endpoints and gateways answer, with a time to try again, where a VM has all its visitors."""


def state(server: Mapping[str, Any]) -> str:
    """Return ``running``, ``off`` or ``unknown`` from the probe of a VNC server.

    A VM known by its target only is off where nothing listens.
    """
    if server["ok"]:
        return "running"
    return "off" if server["refused"] else "unknown"


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
    return _judge_visit(visit)


def _judge_visit(visit: Mapping[str, Any]) -> tuple[str, str]:
    if not visit["ok"]:
        return "fault", f"{visit['hop']}: {visit['error']}"
    return ("running" if visit["verified"] else "unverified"), ""


def endpoint_consoles(
    vms: Sequence[Mapping[str, Any]], host: str, listen: str
) -> list[dict[str, Any]]:
    """Return the consoles behind a host's endpoint, one a VM.

    Args:
        vms: what novnc.fleet.vm_info found on the host.
        host: its name in the inventory.
        listen: where its endpoint listens, ``address:port``.

    Returns:
        Dictionaries with ``host``, ``vm``, ``uuid``, ``state``, ``websocket``, ``expect_name``, and
        ``vnc``, which is False for a VM without any VNC server.
    """
    return [
        {
            "host": host,
            "vm": vm["name"],
            "uuid": vm["uuid"],
            "state": vm["state"],
            "websocket": f"wss://{listen}/vm/{vm['uuid']}/websockify",
            "expect_name": vm["expect_name"] or f"QEMU ({vm['name']})",
            "vnc": bool(vm["displays"]),
        }
        for vm in vms
    ]


def gateway_consoles(
    listed: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], gateway: str
) -> list[dict[str, Any]]:
    """Return the consoles behind a gateway, one a VM, as `endpoint_consoles` does.

    Args:
        listed: the gateway's own ``consoles.json``.
        found: what `endpoint_consoles` has returned for hypervisors; of those that were not asked,
            no VM is known to be called otherwise than usual.
        gateway: its public name, with a port where that is not 443.
    """
    known = {one["uuid"]: one for one in found}
    usual = [
        {**one, "expect_name": f"QEMU ({one['vm']})", "vnc": True, **known.get(one["uuid"], {})}
        for one in listed
    ]
    return [
        {
            **{key: one[key] for key in ("host", "vm", "uuid", "state", "expect_name", "vnc")},
            "websocket": f"wss://{gateway}/vm/{one['uuid']}/websockify",
        }
        for one in usual
    ]


def unlisted(
    listed: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the running ones of `found` (see `gateway_consoles`) that a gateway does not list."""
    there = {one["uuid"] for one in listed}
    return [dict(one) for one in found if one["state"] == "running" and one["uuid"] not in there]


def endpoint_targets(
    consoles: Sequence[Mapping[str, Any]], origin: str = ""
) -> list[dict[str, Any]]:
    """Return the targets of a probe: what there is to see behind an endpoint or a gateway.

    Args:
        consoles: What `endpoint_consoles` or `gateway_consoles` has returned.
        origin: That of a gateway's pages; endpoints want none.
    """
    return [
        {
            "name": one["uuid"],
            "url": one["websocket"],
            "expect_name": one["expect_name"],
            **({"origin": origin} if origin else {}),
        }
        for one in consoles
        if one["vnc"] and one["state"] != "off"
    ]


def _is_full(visit: Mapping[str, Any]) -> bool:
    return visit["http_status"] == _FULL and visit["retry_after"] is not None


def endpoint_verdicts(
    consoles: Sequence[Mapping[str, Any]], visits: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return one entry a console behind an endpoint, in order; as `verdicts` does.

    One that is full has a verdict of its own, ``unchecked``.
    """
    visit_of = {result["name"]: result for result in visits}
    found = []
    for one in consoles:
        if one["state"] == "off":
            judged = "off", ""
        elif not one["vnc"]:
            judged = "unverified", "it has no VNC server, so there is nothing to see"
        elif _is_full(visit_of[one["uuid"]]):
            judged = "unchecked", "as many people as may look at it, so it was not opened"
        else:
            judged = _judge_visit(visit_of[one["uuid"]])
        entry = {key: one[key] for key in ("host", "vm", "state")}
        found.append({**entry, "url": one["websocket"], "verdict": judged[0], "error": judged[1]})
    return found


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
