# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters of the gateway: its endpoints, its accounts, and what is wrong with what is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.gateway import (
    accounts,
    endpoints,
    faults,
    script_hashes,
)


class FilterModule:
    """Names the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "endpoints": endpoints,
            "gateway_accounts": accounts,
            "gateway_faults": faults,
            "script_hashes": script_hashes,
        }
