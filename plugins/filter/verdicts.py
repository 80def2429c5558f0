# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters of a check: what to probe, what it comes to, and how to show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.verdict import (
    endpoint_consoles,
    endpoint_targets,
    endpoint_verdicts,
    gateway_consoles,
    probe_targets,
    table,
    unlisted,
    verdicts,
)


class FilterModule:
    """Names the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "endpoint_consoles": endpoint_consoles,
            "endpoint_targets": endpoint_targets,
            "endpoint_verdicts": endpoint_verdicts,
            "gateway_consoles": gateway_consoles,
            "gateway_unlisted": unlisted,
            "probe_targets": probe_targets,
            "verdict_table": table,
            "verdicts": verdicts,
        }
