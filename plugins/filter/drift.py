# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters that compare a fleet's VMs with its typed consoles, and show what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.drift import doubts, drift, table


class FilterModule:
    """Names the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"drift": drift, "drift_doubts": doubts, "drift_table": table}
