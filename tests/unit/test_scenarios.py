"""Scenarios run side by side in one network: what they start has names and addresses of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml

from tests.harness.project import ROOT

ALONE = ("bench", "distribution")
"""What no other scenario runs beside."""


def there() -> Iterator[tuple[str, str]]:
    """Yield name and address of each host that is started."""
    files = [ROOT / "inventory" / "demo" / "hosts.yml"]
    files += [
        file
        for file in sorted(ROOT.glob("molecule/*/inventory/hosts.yml"))
        if file.parts[-3] not in ALONE
    ]
    for file in files:
        groups: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        found = {
            name: said["ansible_host"]
            for group in groups.values()
            for name, said in (group.get("hosts") or {}).items()
            if said and "ansible_host" in said
        }
        yield from found.items()


def test_no_two_hosts_have_one_name_or_address() -> None:
    names, addresses = zip(*there(), strict=True)
    assert len(names) > 15
    for seen in (names, addresses):
        assert {one: count for one, count in Counter(seen).items() if count > 1} == {}
