# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Where a fleet's VMs and its typed consoles no longer fit together. Pure.

Powered-off VMs are no drift. Where libvirt tells of the VMs, a target that none of them has, and
where nothing listens, is a console without a VM. Without libvirt a VM that is switched off looks
just so: that is told (`doubts`), and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.notation import join
from ansible_collections.novnc.fleet.plugins.module_utils.text_table import aligned

Found = Mapping[str, Any]
"""What novnc.fleet.vm_info returned for a host."""

Row = dict[str, Any]


def drift(found: Mapping[str, Found], endpoints: Collection[str] = ()) -> dict[str, list[Row]]:
    """Return what has drifted, each a dictionary with ``host``, ``vm``, ``uuid`` and more.

    Args:
        found: The hosts, by name.
        endpoints: Those with an endpoint, which finds VMs by itself.

    Returns:
        ``missing``: running VMs that no console shows, with their ``displays``.
        ``orphaned``: consoles (``vm``) of no VM, with their target ``vnc``.
        ``moved``: consoles with their target ``vnc``, and the VM's ``displays``.
    """
    hosts = list(found.items())  # Ansible's own mappings give them once only
    return {
        "missing": [row for host, one in hosts for row in _missing(host, one, host in endpoints)],
        "orphaned": [row for host, one in hosts for row in _orphaned(host, one) if one["libvirt"]],
        "moved": [row for host, one in hosts for row in _moved(host, one)],
    }


def doubts(found: Mapping[str, Found]) -> list[Row]:
    """Return consoles whose VM is switched off or gone, as nobody can tell; see `drift`."""
    return [
        row for host, one in found.items() if not one["libvirt"] for row in _orphaned(host, one)
    ]


def table(
    drifted: Mapping[str, Sequence[Row]], doubtful: Sequence[Row] = (), unasked: Sequence[str] = ()
) -> list[str]:
    """Return lines for people: kind, host and VM of each, and what is wrong; never none."""
    rows = [("not asked", host, "", "see above why; nothing is known of it") for host in unasked]
    for kind, words in _WORDS.items():
        rows += [(kind, row["host"], row["vm"], words(row)) for row in drifted[kind]]
    rows += [
        ("off", row["host"], row["vm"], f"switched off or gone: nothing listens at {row['vnc']}")
        for row in doubtful
    ]
    if not any(drifted.values()):
        rows.append(("no drift", "", "", ""))
    return aligned(rows)


def _where(row: Row) -> str:
    return ", ".join(row["displays"]) or "nowhere (it has no VNC server)"


_WORDS: dict[str, Callable[[Row], str]] = {
    "missing": lambda row: f"has no console; its VNC server is at {_where(row)}",
    "orphaned": lambda row: f"no VM of the host has {row['vnc']}",
    "moved": lambda row: f"its console goes to {row['vnc']}, it is at {_where(row)}",
}


def _missing(host: str, found: Found, endpoint: bool) -> Iterator[Row]:
    # An endpoint gives every VM its console; but who has direct ones wants one for each.
    if endpoint and not any(console["direct"] for console in found["consoles"]):
        return
    shown = {console["uuid"] for console in found["consoles"]}
    for vm in found["vms"]:
        if vm["state"] == "running" and vm["displays"] and vm["uuid"] not in shown:
            yield {"host": host, "vm": vm["name"], "uuid": vm["uuid"], "displays": _displays(vm)}


def _orphaned(host: str, found: Found) -> Iterator[Row]:
    vms = {vm["uuid"]: vm for vm in found["vms"]}
    for console in found["consoles"]:
        vm = vms[console["uuid"]]
        # What answers there is no VM that we know, but the console shows something.
        if console["local"] and vm["source"] == "consoles" and vm["state"] == "off":
            yield _row(host, console)


def _moved(host: str, found: Found) -> Iterator[Row]:
    vms = {vm["uuid"]: vm for vm in found["vms"]}
    for console in found["consoles"]:
        vm = vms[console["uuid"]]
        known = vm["source"] != "consoles" and vm["state"] == "running"
        if console["local"] and known and not console["found"]:
            yield {**_row(host, console), "displays": _displays(vm)}


def _row(host: str, console: Mapping[str, Any]) -> Row:
    return {"host": host, "vm": console["name"], "uuid": console["uuid"], "vnc": console["vnc"]}


def _displays(vm: Mapping[str, Any]) -> list[str]:
    return [
        f"unix:{one['socket']}" if one["socket"] else join(one["address"], one["port"])
        for one in vm["displays"]
    ]
