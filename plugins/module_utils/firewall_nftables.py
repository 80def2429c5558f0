# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Consoles' ports in a ruleset of nftables: accepted first in each chain that drops. Pure.

An accept in a table of our own would not do: every base chain of a hook is asked, and one that
drops has the last word. So our rules stand in those chains themselves, before all others, and
whenever nftables.service loads its ruleset anew a drop-in of it puts them there again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.novnc.fleet.plugins.module_utils.firewall import (
    MARK,
    Command,
    Opening,
    Plan,
    difference,
)
from ansible_collections.novnc.fleet.plugins.module_utils.nft_ruleset import (
    FAMILIES,
    Place,
    Ruleset,
)
from ansible_collections.novnc.fleet.plugins.module_utils.units import (
    CONFIG,
    DROP_IN,
    UNITS,
    File,
    Link,
)

RULES_FILE = f"{CONFIG}/firewall.nft"
SERVICE = "nftables.service"
SERVICE_DROP_IN = f"{UNITS}/{SERVICE}.d/{DROP_IN}"
FILES = (RULES_FILE, SERVICE_DROP_IN)


def lines(place: Place, wanted: Iterable[Opening]) -> list[str]:
    """Return the commands of nft that put openings first in a chain, one for each address."""
    by_address: dict[str, list[Opening]] = {}
    for opening in wanted:
        by_address.setdefault(opening.address, []).append(opening)
    found = []
    for address, there in by_address.items():
        version, where = there[0].version, ""
        if not there[0].any_address:
            where = f"{'ip' if version == 4 else 'ip6'} daddr {address} "
        elif place[0] == "inet":
            where = f"meta nfproto ipv{version} "
        ports = ", ".join(opening.ports("-") for opening in there)
        rule = f'{where}tcp dport {{ {ports} }} accept comment "{MARK}"'
        found.append(f"insert rule {' '.join(place)} {rule}")
    return found


def files(keep: Sequence[str], nft: str) -> dict[str, File]:
    """Return what puts rules back after nftables.service has loaded its ruleset, by path."""
    command = f"-{nft} -f {RULES_FILE}"
    return {
        RULES_FILE: File("".join(f"{line}\n" for line in keep)),
        # The dash: whatever is wrong with our rules, the host's own firewall has to stand.
        SERVICE_DROP_IN: File(f"[Service]\nExecStartPost={command}\nExecReload={command}\n"),
    }


def plan(
    ruleset: Ruleset,
    wanted: Sequence[Opening],
    *,
    nft: str,
    standing: Mapping[str, File | Link | None],
    service: Mapping[str, str],
) -> Plan:
    """Return what has to be done.

    Args:
        ruleset: the one in force.
        wanted: what has to be open.
        nft: path of the program.
        standing: what stands at each path of `FILES`.
        service: what systemctl shows of `SERVICE`: ``NeedDaemonReload`` and ``UnitFileState``.
    """
    ours = ruleset.ours()
    needed = {
        place: [one for one in wanted if one.version in FAMILIES[place[0]]]
        for place in ruleset.dropping()
    }
    present = {
        place: [one for rule in rules if rule.effective for one in rule.opens or ()]
        for place, rules in ours.items()
    }
    script: list[str] = []
    places = {**needed, **ours}
    for place in places:
        there, rules = needed.get(place, []), ours.get(place, [])
        wrong = any(rule.opens is None or not rule.effective for rule in rules)
        if wrong or sorted(present.get(place, [])) != sorted(there):
            script += [f"delete rule {' '.join(place)} handle {rule.handle}" for rule in rules]
            script += lines(place, there)
    keep = [line for place, there in needed.items() for line in lines(place, there)]
    wanted_files = files(keep, nft) if keep else {}
    changed = {path: wanted_files.get(path) for path in FILES}
    changed = {path: file for path, file in changed.items() if standing[path] != file}
    commands = []
    if SERVICE_DROP_IN in changed or (wanted_files and service["NeedDaemonReload"] == "yes"):
        commands.append(Command(("systemctl", "daemon-reload")))
    if script:
        commands.append(Command((nft, "-f", "-"), "".join(f"{line}\n" for line in script)))
    sides = [
        {" ".join(place): side.get(place, []) for place in places} for side in (present, needed)
    ]
    opened, closed = difference(*sides)
    before, after = (
        {
            f"nft {' '.join(place)}": "".join(
                f"{line}\n" for line in lines(place, side.get(place, []))
            )
            for place in places
        }
        for side in (present, needed)
    )
    for path, file in changed.items():
        old = standing[path]
        before[path] = old.content if isinstance(old, File) else ""
        after[path] = file.content if file else ""
    return Plan(opened, closed, before, after, changed, tuple(commands), _warnings(keep, service))


def _warnings(keep: Sequence[str], service: Mapping[str, str]) -> tuple[str, ...]:
    if not keep or service["UnitFileState"] == "enabled":
        return ()
    return (
        f"{SERVICE} is not enabled, so something else loads this host's ruleset; whenever it does,"
        " the consoles' ports stay closed until the next run",
    )
