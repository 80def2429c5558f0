# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the journal keeps: one line of JSON for each event, none with a secret."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from novnc_directory.records import Console


def journal(event: str, **facts: object) -> None:
    """Write a line."""
    print(json.dumps({"event": event, **facts}), flush=True)


def about(console: Console) -> dict[str, object]:
    """Return who looks at what."""
    facts = asdict(console)
    del facts["seen"]  # its start and its end are told alike
    # Neither says who it was: the log-in's id only ties a user's lines together.
    return {**facts, "login": console.login[:12], "begun": round(console.begun, 3)}
