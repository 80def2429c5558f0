# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The gateway's state in Prometheus' text format, on a listener of its own."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping

from aiohttp import web

from novnc_directory.certificates import expires
from novnc_directory.consoles import Consoles
from novnc_directory.rights import CONTROL, WATCH
from novnc_directory.visitors import OUTCOMES, Visitors
from novnc_directory.vms import STATES

Family = tuple[str, str, str, dict[str, float]]


class Metrics:
    """The web application for Prometheus."""

    def __init__(self, visitors: Visitors, consoles: Consoles) -> None:
        self._visitors, self._consoles = visitors, consoles

    def application(self) -> web.Application:
        """Return the application that answers."""
        found = web.Application()
        found.router.add_get("/metrics", self._metrics)
        return found

    async def _metrics(self, request: web.Request) -> web.Response:
        text = exposition(self._families())
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    def _families(self) -> list[Family]:
        fleet, sessions = self._consoles.fleet, list(self._consoles)
        states = Counter(vm.state for vm in fleet.vms)
        modes = Counter(one.mode for one in sessions)
        logins = self._visitors.outcomes
        return [
            (
                "consoles",
                "gauge",
                "VMs by state.",
                _labelled("state", {one: states[one] for one in STATES}),
            ),
            (
                "sessions",
                "gauge",
                "Consoles that are open.",
                _labelled("mode", {one: modes[one] for one in (CONTROL, WATCH)}),
            ),
            (
                "sessions_total",
                "counter",
                "Consoles that were opened.",
                {"": self._consoles.totals["consoles"]},
            ),
            (
                "logins_total",
                "counter",
                "Log-ins tried.",
                _labelled("outcome", {one: logins[one] for one in OUTCOMES}),
            ),
            (
                "endpoint_age_seconds",
                "gauge",
                "Age of an endpoint's last answer.",
                _labelled("host", {name: one.age for name, one in fleet.hosts.items() if one.age}),
            ),
            (
                "endpoint_silent",
                "gauge",
                "Whether an endpoint does not answer.",
                _labelled("host", {name: one.silent for name, one in fleet.hosts.items()}),
            ),
            (
                "certificate_days_left",
                "gauge",
                "Days until a certificate ends.",
                _labelled("certificate", self._days_left()),
            ),
            ("resident_memory_bytes", "gauge", "Memory in use.", {"": _resident()}),
            ("open_fds", "gauge", "Open descriptors.", {"": len(os.listdir("/proc/self/fd"))}),
        ]

    def _days_left(self) -> dict[str, float]:
        files, found = self._consoles.settings.certificates, {}
        for name, path in files.items():
            try:
                found[name] = round((expires(path) - time.time()) / 86400, 2)
            except (OSError, ValueError):
                found[name] = float("nan")  # nobody knows
        return found


def exposition(families: list[Family]) -> str:
    """Return metrics as text."""
    lines = []
    for name, kind, meaning, values in families:
        lines += [f"# HELP novnc_gateway_{name} {meaning}", f"# TYPE novnc_gateway_{name} {kind}"]
        lines += [f"novnc_gateway_{name}{labels} {value}" for labels, value in values.items()]
    return "\n".join([*lines, ""])


def _labelled(label: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f'{{{label}="{_escaped(key)}"}}': float(value) for key, value in values.items()}


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
