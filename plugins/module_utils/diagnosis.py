# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The way to a VM's console hop by hop, up to the first that is broken. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.text_table import aligned


class BrokenError(Exception):
    """A hop is broken.

    Attributes:
        mend: What to do about it, as in "…; ``mend``".
    """

    def __init__(self, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.mend = mend


@dataclass(frozen=True)
class Hop:
    """One hop: its name, whether it holds, what was seen, and the mend if it does not."""

    hop: str
    ok: bool
    detail: str
    mend: str = ""


Step = tuple[str, Callable[[], str]]
"""A hop's name, and what tells of it or raises BrokenError."""


def walk(steps: Iterable[Step]) -> list[Hop]:
    """Return the hops, none after the first that is broken."""
    found = []
    for name, step in steps:
        try:
            found.append(Hop(name, True, step()))
        except BrokenError as broken:
            found.append(Hop(name, False, str(broken), broken.mend))
            break
    return found


def as_data(hops: Sequence[Hop]) -> dict[str, Any]:
    """Return hops as JSON types: ``hops``, and ``fault``, the name of the broken one or None."""
    return {
        "hops": [asdict(one) for one in hops],
        "fault": next((one.hop for one in hops if not one.ok), None),
    }


def lines(hops: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return hops, as `as_data` has them, for people: one line each."""
    rows = [("ok" if one["ok"] else "FAULT", one["hop"], sentence(one)) for one in hops]
    return aligned(rows) if rows else []


def sentence(hop: Mapping[str, Any]) -> str:
    """Return what is said of a hop, with its mend."""
    return "; ".join(filter(None, (hop["detail"], hop["mend"])))
