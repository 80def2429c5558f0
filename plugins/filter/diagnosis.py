# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Filters of playbooks/doctor.yml: where the controller goes, and what it all comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.fleet_diagnosis import diagnosis, visits


class FilterModule:
    """Names the filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"diagnosis": diagnosis, "diagnosis_visits": visits}
