"""Troubleshooting: with the fault that an entry is about, its commands show it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

from tests.docs.stage import Stage
from tests.harness.manual import blocks
from tests.harness.project import ROOT

FAULTS = {
    "Failed to connect to server (1006)": ("kvm1", "qemu-vm@web01.service"),
    '503, "The gateway is being looked after"': (
        "gw1",
        "novnc-directory.socket novnc-directory.service",
    ),
}
"""The units that do not run while an entry is read, and their host."""


@contextmanager
def fault(section: str, stage: Stage) -> Iterator[None]:
    """Bring about, for a while, what an entry is about, if it takes any doing."""
    host, units = FAULTS.get(section, ("kvm1", ""))
    if not units:
        yield
        return
    stage.hosts[host].check_output(f"systemctl stop {units}")
    try:
        yield
    finally:
        stage.hosts[host].check_output(f"systemctl start {units}")


def test_each_entry_shows_what_it_is_about(stage: Stage) -> None:
    page = ROOT / "docs" / "troubleshooting.md"
    entries = groupby(blocks(page), key=lambda block: block.section)
    seen = set()
    for section, entry in entries:
        seen.add(section)
        with fault(section, stage):
            stage.follow(entry)
    assert set(FAULTS) <= seen
