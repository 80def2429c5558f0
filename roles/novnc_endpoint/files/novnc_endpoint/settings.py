# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the role has written: one file of JSON, and the files it names."""

from __future__ import annotations

import json
from dataclasses import dataclass

from novnc_endpoint.session import Limits


@dataclass(frozen=True)
class Settings:
    """The role's knobs.

    Attributes:
        host: The host's name in the inventory.
        address: Where the endpoint listens, as in a URL: ``192.0.2.1:16900``.
        cert: File of the certificate, with its chain; ``key`` of its key, ``ca`` of the authority
            of the gateways' certificates.
        allowed_names: Whose certificates are believed, exactly.
        max_sessions_per_vm: How many visitors one VM may have at once.
        limits: How long a session may take.
        qmp: QMP sockets of plain QEMU by the VM's name.
        control: Directory of the processes' own sockets.
    """

    host: str
    address: str
    cert: str
    key: str
    ca: str
    allowed_names: frozenset[str]
    max_sessions_per_vm: int
    limits: Limits
    qmp: dict[str, str]
    control: str


def read_settings(path: str) -> Settings:
    """Return the settings in a file. Raises OSError, ValueError, KeyError."""
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    return Settings(
        host=found["host"],
        address=found["address"],
        cert=found["cert"],
        key=found["key"],
        ca=found["ca"],
        allowed_names=frozenset(found["allowed_names"]),
        max_sessions_per_vm=int(found["max_sessions_per_vm"]),
        limits=Limits(
            session=float(found["session_timeout"]),
            idle=float(found["session_idle_timeout"]),
            stall=float(found["stall_timeout"]),
        ),
        qmp=dict(found["qmp"]),
        control=found["control"],
    )
