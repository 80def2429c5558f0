# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What stands on a hypervisor for its consoles: files and links, as pure data.

The unit templates themselves are the role's; here is what differs from VM to VM.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

UNITS = "/etc/systemd/system"
CONFIG = "/etc/novnc-fleet"
CONSOLES_JSON = f"{CONFIG}/consoles.json"
TARGET = "novnc-consoles.target"
TARGET_LINK = f"{UNITS}/multi-user.target.wants/{TARGET}"
DROP_IN = "novnc-fleet.conf"

OWNED = re.compile(
    rf"{UNITS}/novnc-console@(?P<unit>[^/]+)\.(socket|service)\.d/{DROP_IN}\Z"
    rf"|{UNITS}/{TARGET}\.wants/novnc-console@(?P<link>[^/]+)\.socket\Z"
    rf"|{CONFIG}/consoles/(?P<env>[^/]+)\.env\Z"
)
"""Paths that this role makes for a console; the group that matched is the VM."""

OWNED_GLOBS = (
    f"{UNITS}/novnc-console@*.socket.d/{DROP_IN}",
    f"{UNITS}/novnc-console@*.service.d/{DROP_IN}",
    f"{UNITS}/{TARGET}.wants/novnc-console@*.socket",
    f"{CONFIG}/consoles/*.env",
)


@dataclass(frozen=True)
class File:
    """A regular file; ``mode`` holds its permission bits, the owner is root."""

    content: str
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    to: str


def socket_unit(vm: str) -> str:
    """Return the name of a console's socket unit."""
    return f"novnc-console@{vm}.socket"


def service_unit(vm: str) -> str:
    """Return the name of a console's service unit."""
    return f"novnc-console@{vm}.service"


def units_of(vms: Iterable[str]) -> set[str]:
    """Return the units that consoles have while somebody looks at them."""
    return {unit(vm) for vm in vms for unit in (socket_unit, service_unit)}


def owner(path: str) -> str:
    """Return the VM whose console a path of `OWNED_GLOBS` belongs to, or an empty text."""
    match = OWNED.match(path)
    return next(filter(None, match.groupdict().values()), "") if match else ""


def console_entries(console: Mapping[str, Any], *, tls: bool) -> dict[str, File | Link]:
    """Return what stands on the host for one console, by path.

    Args:
        console: an entry of the plan, with ``vm``, ``vnc``, ``listen`` and ``origins``.
        tls: whether it speaks TLS; in the file, so that a change restarts the console.
    """
    vm, vnc = console["vm"], console["vnc"]
    environment = {
        "NOVNC_CONSOLE_TARGET": vnc,
        "NOVNC_CONSOLE_ORIGINS": " ".join(console["origins"]),
        "NOVNC_CONSOLE_TLS": "yes" if tls else "no",
    }
    return {
        f"{UNITS}/{socket_unit(vm)}.d/{DROP_IN}": File(
            f"[Socket]\nListenStream={console['listen']}\n"
        ),
        f"{UNITS}/{service_unit(vm)}.d/{DROP_IN}": File(_service_drop_in(vm, vnc)),
        f"{UNITS}/{TARGET}.wants/{socket_unit(vm)}": Link(f"{UNITS}/novnc-console@.socket"),
        f"{CONFIG}/consoles/{vm}.env": File(
            "".join(f"{key}={_quoted(value)}\n" for key, value in environment.items()), 0o640
        ),
    }


def _service_drop_in(vm: str, vnc: str) -> str:
    # Left to itself, DynamicUser= gives all instances of a template the same user.
    lines = ["[Service]", f"User=novnc-{hashlib.sha256(vm.encode()).hexdigest()[:12]}"]
    if vnc.startswith("unix:"):
        # systemd hands the listener over, so the process itself needs no network at all.
        lines += ["PrivateNetwork=yes", "RestrictAddressFamilies="]
        lines += ["RestrictAddressFamilies=AF_UNIX"]
    return "".join(f"{line}\n" for line in lines)


def _quoted(value: str) -> str:
    """Quote a value of a file that systemd reads as EnvironmentFile= (systemd.exec(5))."""
    return '"' + re.sub(r'([\\"`$])', r"\\\1", value) + '"'


def host_entries(
    consoles: Iterable[Mapping[str, Any]], *, tls: bool, direct: bool = True
) -> dict[str, File | Link]:
    """Return everything that stands on the host for its consoles, by path.

    Without ``direct`` they have no units, and the list is all there is.
    """
    consoles = list(consoles)
    entries: dict[str, File | Link] = {}
    if direct:
        for console in consoles:
            entries.update(console_entries(console, tls=tls))
        entries[TARGET_LINK] = Link(f"{UNITS}/{TARGET}")
    entries[CONSOLES_JSON] = File(json.dumps(consoles, indent=2, ensure_ascii=False) + "\n")
    return entries


@dataclass(frozen=True)
class Difference:
    """What has to be done to make a host equal a list of consoles."""

    write: dict[str, File | Link]
    remove: list[str]
    added: list[str]
    removed: list[str]
    restarted: list[str]

    def __bool__(self) -> bool:
        """Tell whether anything on disk differs."""
        return bool(self.write or self.remove)


def compare(present: Mapping[str, File | Link], wanted: Mapping[str, File | Link]) -> Difference:
    """Return the steps from what is present to what is wanted.

    A console is restarted if its listener or its environment differs, not for
    a title (which stands in consoles.json only) and not for a missing link or
    a wrong mode, which are mended in place.
    """
    write = {path: entry for path, entry in wanted.items() if present.get(path) != entry}
    remove = [path for path in present if path not in wanted]
    before = {owner(path) for path in present} - {""}
    after = {owner(path) for path in wanted} - {""}
    touched = {
        owner(path)
        for path, entry in write.items()
        if isinstance(entry, File) and _content(present.get(path)) != entry.content
    } | {owner(path) for path in remove}
    return Difference(
        write=write,
        remove=remove,
        added=sorted(after - before),
        removed=sorted(before - after),
        restarted=sorted(touched & before & after),
    )


def _content(entry: File | Link | None) -> str | None:
    return entry.content if isinstance(entry, File) else None


PRUNE_FREE = 5
"""Consoles that a run may always remove."""


def prune_refusal(present: Mapping[str, File | Link], difference: Difference, limit: int) -> str:
    """Return why a run must not remove as many consoles as it would, or an empty text.

    Args:
        present: what stands on the host.
        difference: what the run would do.
        limit: per cent of the host's consoles that may go at once.
    """
    removed, before = len(difference.removed), {owner(path) for path in present} - {""}
    if removed <= PRUNE_FREE or removed * 100 <= limit * len(before):
        return ""
    share = -(-removed * 100 // len(before))
    names = ", ".join(difference.removed[:10]) + (", …" if removed > 10 else "")
    return (
        f"this run would remove {removed} of {len(before)} consoles ({names}), more than"
        f" novnc_console_prune_limit ({limit} per cent); nothing was changed. If that is meant,"
        f" run it with -e novnc_console_prune_limit={share}"
    )
