# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Columns of text for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, each column as wide as its widest cell.

    What cannot be printed is written as its escape: names come from VMs, and a terminal would
    obey some of it.
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in shown
    ]


def printable(text: str) -> str:
    """Return a text with escapes for what cannot be printed."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
