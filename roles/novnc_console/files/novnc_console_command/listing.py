# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What ``novnc-console list`` tells. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.text_table import aligned, printable

from novnc_console_command.host import Known

HEADING = ("VM", "STATE", "SOURCE", "VNC", "ENDPOINT", "CONSOLE")


def listing(known: Known) -> list[dict[str, Any]]:
    """Return one entry a VM, as JSON types, by name."""
    endpoint = known.endpoint.get("address") in known.listeners
    return [
        {
            "host": known.host,
            "vm": vm.name,
            "uuid": vm.uuid,
            "title": vm.title,
            "state": vm.state,
            "source": vm.source,
            "vnc": [str(display.target) for display in vm.displays],
            "direct": [
                {
                    "console": console["vm"],
                    "url": console["url"],
                    "listening": console["listen"] in known.listeners,
                }
                for console in known.direct_consoles(vm)
            ],
            "endpoint": endpoint,
            "warnings": list(vm.warnings),
        }
        for vm in sorted(known.survey.vms, key=lambda vm: (vm.name, vm.uuid))
    ]


def table(entries: Sequence[dict[str, Any]]) -> list[str]:
    """Return entries as lines for people: one a VM, and its warnings below it."""
    rows = [
        (
            one["vm"],
            one["state"],
            one["source"],
            " ".join(one["vnc"]) or "-",
            "yes" if one["endpoint"] else "no",
            " ".join(_console(direct) for direct in one["direct"]) or "-",
        )
        for one in entries
    ]
    heading, *lines = aligned([HEADING, *rows])
    found = [heading]
    for line, entry in zip(lines, entries):
        found += [line, *(f"    {printable(warning)}" for warning in entry["warnings"])]
    return found


def _console(direct: dict[str, Any]) -> str:
    return str(direct["url"]) if direct["listening"] else f"{direct['url']} (nothing listens)"
