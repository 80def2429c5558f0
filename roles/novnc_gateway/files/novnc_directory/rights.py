# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who may do what: rules, and administrators. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

CONTROL, WATCH, NONE = "control", "watch", ""
"""What somebody may do with a console."""

EVERYONE = "everyone"
_KEYS = {"match", "hosts", "control", "watch"}


@dataclass(frozen=True)
class Account:
    """Somebody who may log in.

    Attributes:
        password_hash: As `novnc.fleet.passwords.hash_password` makes it.
        groups: The groups they are in.
        watches_all: Whether they may watch every console, and no rule is asked.
    """

    name: str
    password_hash: str
    groups: frozenset[str] = frozenset()
    watches_all: bool = False

    @property
    def subjects(self) -> frozenset[str]:
        """What rules call them."""
        groups = {f"group:{group}" for group in self.groups}
        return frozenset({EVERYONE, f"user:{self.name}"} | groups)


@dataclass(frozen=True)
class Rule:
    """What some people may do with some VMs.

    Attributes:
        match: Shell pattern of the VM's name.
        hosts: Shell pattern of the host's name in the inventory.
        control: Who may use them: ``everyone``, ``user:x``, ``group:x``.
        watch: Who may look at them.
    """

    match: str = "*"
    hosts: str = "*"
    control: frozenset[str] = frozenset()
    watch: frozenset[str] = frozenset()

    def grants(self, subjects: frozenset[str], host: str, vm: str) -> str:
        """Return what the rule lets somebody do."""
        if not (fnmatchcase(vm, self.match) and fnmatchcase(host, self.hosts)):
            return NONE
        return CONTROL if subjects & self.control else WATCH if subjects & self.watch else NONE


@dataclass(frozen=True)
class Rights:
    """All rules, and who may control everything."""

    rules: tuple[Rule, ...] = ()
    admins: frozenset[str] = field(default_factory=frozenset)

    def is_admin(self, account: Account) -> bool:
        """Tell whether somebody may control everything."""
        return bool(account.subjects & self.admins)

    def may(self, account: Account, host: str, vm: str) -> str:
        """Return the most that somebody may do with a VM; no rule takes away."""
        if account.watches_all:
            return WATCH
        if self.is_admin(account):
            return CONTROL
        granted = {rule.grants(account.subjects, host, vm) for rule in self.rules}
        return CONTROL if CONTROL in granted else WATCH if WATCH in granted else NONE


def read_rights(rules: Iterable[Mapping[str, Any]], admins: Iterable[str]) -> Rights:
    """Return the rights that are written down. Raises ValueError."""
    return Rights(tuple(_rule(rule) for rule in rules), _subjects(admins, "the admins"))


def _rule(data: Mapping[str, Any]) -> Rule:
    if unknown := set(data) - _KEYS:
        raise ValueError(
            f"a rule has the unknown key {min(unknown)!r}; it may have {sorted(_KEYS)}"
        )
    match, hosts = data.get("match", "*"), data.get("hosts", "*")
    if not (isinstance(match, str) and isinstance(hosts, str)):
        raise ValueError(f"match and hosts of a rule must be text, not {match!r} and {hosts!r}")
    where = f"the rule for {match!r} on {hosts!r}"
    control, watch = (_subjects(data.get(key, ()), where) for key in (CONTROL, WATCH))
    return Rule(match, hosts, control, watch)


def _subjects(data: Any, where: str) -> frozenset[str]:
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise ValueError(f"{where}: {data!r} must be a list of {EVERYONE}, user:x, group:x")
    found = list(data)
    for one in found:
        kind, colon, name = one.partition(":") if isinstance(one, str) else ("", "", "")
        if one != EVERYONE and not (kind in ("user", "group") and colon and name):
            raise ValueError(f"{where}: {one!r} must be {EVERYONE}, user:x or group:x")
    return frozenset(found)
