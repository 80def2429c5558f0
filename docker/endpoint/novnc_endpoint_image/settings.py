# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the mounted file of an endpoint comes to."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.entry import EntryError, parse_entry
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, parse_target
from ansible_collections.novnc.fleet.plugins.module_utils.units import CONSOLES_JSON
from novnc_endpoint.settings import read_settings
from novnc_endpoint.tls import server_context
from novnc_image.environment import WrittenError
from novnc_service.generations import Generations, write
from novnc_service.role import Role, read_written, used

WRITTEN = "/etc/novnc-fleet/endpoint.yml"
RUN = "/run/novnc-endpoint"
SETTINGS = f"{RUN}/current/endpoint.json"
ADDRESS = f"{WRITTEN}: novnc_endpoint_address with novnc_endpoint_port"
_CONTROL = f"{RUN}/control"
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 (of the container; who may come is the certificates' say)
_MORE = frozenset({"novnc_vms", "inventory_hostname"})
# What is of no use in a container: units, groups and authorities of a host.
_NOT_HERE = ("novnc_endpoint_enabled", "novnc_endpoint_groups", "novnc_pki_dir")


def check_mounts() -> None:
    """See that the image's own link is there, by which typed VMs are found. Raises WrittenError."""
    if not os.path.islink(CONSOLES_JSON):
        directory = os.path.dirname(WRITTEN)
        raise WrittenError(
            f"{directory} is mounted as a whole, over what the image has there; mount {WRITTEN}"
            f" and {directory}/endpoint, each by itself"
        )


def make(generations: Generations, listening: TcpTarget | None = None) -> None:
    """Make what the endpoint reads, and put it in force.

    Args:
        generations: Where it goes.
        listening: Where it listens by now, which only another start could move.

    Raises:
        WrittenError: What is written cannot work.
    """
    role, written = Role("novnc_endpoint"), read_written(WRITTEN)
    role.check_keys(WRITTEN, written, _MORE)
    for key in _NOT_HERE:
        if key in written:
            raise WrittenError(f"{WRITTEN}: {key} means nothing in a container; leave it out")
    host = str(written.get("inventory_hostname") or socket.gethostname())
    known = {
        "inventory_hostname": host,
        "ansible_host": _EVERY_ADDRESS,
        "groups": {},
        "ansible_facts": {},
    }
    _check_qmp(written.get("novnc_endpoint_qmp", {}))
    with used(WRITTEN), generations.another() as made:
        known["_novnc_endpoint_run"] = str(made)
        variables = role.variables(written, known)
        address = f"{variables['_novnc_endpoint_bracketed']}:{variables['novnc_endpoint_port']}"
        _check_address(address, listening)
        variables = role.variables(written, {**known, "_novnc_endpoint_listen": address})
        settings = variables["_novnc_endpoint_settings"]
        files = variables["_novnc_endpoint_files"]
        if not settings["allowed_names"]:
            raise WrittenError(
                f"{WRITTEN}: novnc_endpoint_allowed_names is empty, so nobody could come;"
                " write the names of the gateways' certificates"
            )
        for name, path in files.items():
            (made / name).symlink_to(path)
        write(made / "endpoint.json", json.dumps({**settings, "control": _CONTROL}))
        write(made / "consoles.json", json.dumps(_consoles(host, written.get("novnc_vms") or {})))
        _check(made, files)


def _check_address(text: str, listening: TcpTarget | None) -> None:
    try:
        address = _tcp(text)
    except ValueError as error:
        raise WrittenError(f"{ADDRESS}: {error}") from None
    if listening not in (None, address):
        raise WrittenError(
            f"{ADDRESS} is '{address}', and was '{listening}':"
            " that takes a new start of the container"
        )


def _tcp(text: str) -> TcpTarget:
    found = parse_target(text)
    if not isinstance(found, TcpTarget):
        raise ValueError(f"{found} is no address of TCP")
    return found


def _check_qmp(sockets: Mapping[object, object]) -> None:
    for name, path in sockets.items():
        if not (isinstance(name, str) and isinstance(path, str)):
            raise WrittenError(
                f"{WRITTEN}: novnc_endpoint_qmp has {name!r}: {path!r}; write a VM's name and the"
                " path of its socket, both in quotes"
            )


def _consoles(host: str, vms: object) -> list[dict[str, Any]]:
    """Return the typed consoles as a host's ``consoles.json`` has them."""
    if not isinstance(vms, Mapping):
        raise WrittenError(f"{WRITTEN}: novnc_vms is {vms!r}; write a mapping of VM to VNC server")
    found = []
    for name, value in vms.items():
        try:
            entry = parse_entry(name, value)
        except EntryError as error:
            raise WrittenError(f"{WRITTEN}: {name} in novnc_vms: {error}") from None
        found.append(
            {
                "host": host,
                "vm": entry.name,
                "title": entry.title or entry.name,
                "vnc": str(entry.vnc),
                "expect_name": entry.expect_name or f"QEMU ({entry.name})",
                "expect_strict": entry.expect_name is not None,
                "listen": "",
            }
        )
    return found


def _check(made: Path, files: Mapping[str, str]) -> None:
    settings = read_settings(str(made / "endpoint.json"))
    try:
        server_context(settings.cert, settings.key, settings.ca)
    except (OSError, ValueError) as error:
        names = ", ".join(files.values())
        reason = getattr(error, "strerror", None) or error
        raise WrittenError(
            f"{WRITTEN}: {names} cannot be used by uid {os.getuid()}: {reason}"
        ) from None


def listen_address() -> TcpTarget:
    """Return where the endpoint listens. Raises OSError, ValueError, KeyError."""
    return _tcp(read_settings(SETTINGS).address)
