# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the role has written: settings without secrets, and the accounts."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.passwords import check_hash

from novnc_directory.rights import Account, Rights, read_rights

_LONGEST_NAME = 64


@dataclass(frozen=True)
class Address:
    """Where an endpoint is.

    Attributes:
        address: IP address to connect to.
        port: TCP port.
        name: The name or address that its certificate has to bear.
    """

    address: str
    port: int
    name: str


@dataclass(frozen=True)
class Limits:
    """How long a log-in lasts, in seconds, and how many consoles may be open at once.

    Attributes:
        idle: Seconds without a click or an open console after which a log-in ends; 0 is never.
        session: Seconds after which it ends in any case; 0 is never.
        per_user: Consoles that one user may have open.
        per_vm: Consoles of one VM that may be open.
    """

    idle: float
    session: float
    per_user: int
    per_vm: int

    @property
    def watcher_per_vm(self) -> int:
        """Consoles of one VM that somebody may have open who only watches it."""
        return max(1, self.per_vm // 4)

    @property
    def most_of_a_vm(self) -> int:
        """Those that all who only watch may have together, or one who may control it.

        The rest is for others who may control it, and for administrators.
        """
        return max(1, self.per_vm - self.watcher_per_vm)


@dataclass(frozen=True)
class Settings:
    """The role's knobs.

    Attributes:
        names: The gateway's public names, with a port where that is not 443; links bear the first.
        novnc: Path below which noVNC's files are: ``/novnc/1.7.0``.
        endpoints: The endpoints, by their host's name in the inventory.
        cert: File of the certificate for endpoints; ``key`` of its key, ``ca`` of their authority.
        certificates: Files of certificates whose days are counted, by what they are called.
        poll_interval: Seconds between two questions to an endpoint.
        metrics: Where ``/metrics`` is answered, as address and port.
        control: Path of the socket for root.
        state: Path of the database.
        rights: Who may do what.
        accounts: Who may log in, by name.
    """

    names: tuple[str, ...]
    novnc: str
    endpoints: Mapping[str, Address]
    cert: str
    key: str
    ca: str
    certificates: Mapping[str, str]
    poll_interval: float
    metrics: tuple[str, int]
    control: str
    state: str
    limits: Limits
    rights: Rights
    accounts: Mapping[str, Account]

    @property
    def origins(self) -> frozenset[str]:
        """What browsers send as Origin from the gateway's own pages."""
        return frozenset(f"https://{name}" for name in self.names)


def read_settings(path: str) -> Settings:
    """Return the settings in a file, and the accounts in the file it names.

    Raises OSError, ValueError, KeyError, TypeError.
    """
    found = _read(path)
    metrics_host, _, metrics_port = found["metrics"].rpartition(":")
    return Settings(
        names=_names(found["names"]),
        novnc=found["novnc"],
        endpoints={
            host: Address(_address(one["address"]), int(one["port"]), one["name"])
            for host, one in found["endpoints"].items()
        },
        cert=found["cert"],
        key=found["key"],
        ca=found["ca"],
        certificates=dict(found["certificates"]),
        poll_interval=float(found["poll_interval"]),
        metrics=(metrics_host.strip("[]"), int(metrics_port)),
        control=found["control"],
        state=found["state"],
        limits=Limits(
            idle=float(found["session_idle_timeout"]),
            session=float(found["session_timeout"]),
            per_user=int(found["max_consoles_per_user"]),
            per_vm=int(found["max_consoles_per_vm"]),
        ),
        rights=read_rights(found["rules"], found["admins"]),
        accounts={name: _account(name, one) for name, one in _read(found["users"]).items()},
    )


def _read(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        try:
            found = json.load(file)
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no object of JSON")
    return found


def _names(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        raise ValueError("no public name of the gateway is written")
    return tuple(_public(name) for name in names)


def _address(text: str) -> str:
    """Return an IP address; names are looked up by nobody here. Raises ValueError."""
    return str(ipaddress.ip_address(text))


def _public(name: str) -> str:
    """Return a public name as browsers write it into an Origin. Raises ValueError."""
    if not name or "/" in name or name != name.strip():
        raise ValueError(f"the public name {name!r} must be a name or address, with a port or not")
    return name.lower().removesuffix(":443")


def _account(name: str, data: Mapping[str, Any]) -> Account:
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError(
            f"the account {name!r} must have a name of 1 to {_LONGEST_NAME} characters"
        )
    try:
        check_hash(data["password_hash"])
    except ValueError as error:
        raise ValueError(f"the account {name!r}: {error}") from None
    groups = data.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise ValueError(f"the account {name!r} must have a list of groups, not {groups!r}")
    return Account(name, data["password_hash"], frozenset(groups))
