# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters of the gateway: its endpoints, its accounts, and what is wrong with what is written."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.gateway import (
    accounts,
    endpoints,
    faults,
)

_INLINE_SCRIPT = re.compile(
    r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE
)


def script_hashes(page: str) -> list[str]:
    """Return the hashes of a page's inline scripts as a Content-Security-Policy names them."""
    return [
        f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
        for script in _INLINE_SCRIPT.findall(page.replace("\r\n", "\n"))
    ]


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
