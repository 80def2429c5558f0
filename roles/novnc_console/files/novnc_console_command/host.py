# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the command asks its host; changes nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.systemd import Systemd, SystemdError
from ansible_collections.novnc.fleet.plugins.module_utils.units import CONSOLES_JSON
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Survey, Vm, vms_called
from ansible_collections.novnc.fleet.plugins.module_utils.vms import survey as survey_of

ENDPOINT_JSON = "/etc/novnc-fleet/endpoint.json"

_TIMEOUT = 100.0
"""Seconds for a program of the system; stopping a unit may take 90."""


class UsageError(Exception):
    """What was asked for cannot be meant; a sentence with value and mend."""


@dataclass(frozen=True)
class Known:
    """What is known of a host at one moment.

    Attributes:
        host: Its name in the inventory.
        survey: Its VMs.
        consoles: Entries of ``consoles.json``.
        endpoint: Settings of its endpoint; empty without one.
        listeners: Where anything listens on TCP, as ``address:port``.
    """

    host: str
    survey: Survey
    consoles: list[dict[str, Any]]
    endpoint: dict[str, Any]
    listeners: set[str]

    def direct_consoles(self, vm: Vm) -> list[dict[str, Any]]:
        """Return the consoles of a VM that have a listener of their own."""
        uuid_of = self.survey.uuid_of
        return [one for one in self.consoles if one["listen"] and uuid_of.get(one["vm"]) == vm.uuid]

    def find(self, name_or_uuid: str) -> Vm | None:
        """Return the VM of a uuid or name, or the one that a console of that name shows.

        Raises:
            UsageError: Several have that name.
        """
        found = vms_called(self.survey.vms, name_or_uuid)
        if not found and name_or_uuid in self.survey.uuid_of:
            found = vms_called(self.survey.vms, self.survey.uuid_of[name_or_uuid])
        if len(found) > 1:
            uuids = ", ".join(vm.uuid for vm in found)
            raise UsageError(
                f"{len(found)} VMs of {self.host} are called {name_or_uuid!r}; name one by its"
                f" uuid: {uuids}"
            )
        return found[0] if found else None


class Host:
    """The host that the command runs on.

    Args:
        name: Its name in the inventory.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def systemd(self) -> Systemd:
        """Its systemd."""
        return Systemd(run)

    def look(self) -> Known:
        """Return what is known of it now.

        Raises:
            VmsError: libvirt does not answer, or ``consoles.json`` cannot be read.
            SystemdError: Nobody tells what listens.
        """
        endpoint = _read(ENDPOINT_JSON, {})
        survey = survey_of(self.name, endpoint.get("qmp", {}))
        listeners = self.systemd.listeners()
        return Known(self.name, survey, _read(CONSOLES_JSON, []), endpoint, listeners)

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit. Raises SystemdError."""
        shown = self.systemd.call("show", f"--property={','.join(names)}", unit)
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def last_words(self, unit: str) -> str:
        """Return the last line that a unit's process has written to the journal; maybe none."""
        journal = ["journalctl", "--output=cat", "--no-pager", "--lines=1", "_SYSTEMD_UNIT=" + unit]
        return run(journal)[1].strip()


def run(words: Sequence[str]) -> tuple[int, str, str]:
    """Return status, output and errors of a program. Raises SystemdError if it does not end."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except FileNotFoundError:
        return 127, "", f"{words[0]} is not on the host"
    except subprocess.TimeoutExpired:
        raise SystemdError(f"'{' '.join(words)}' has not ended within {_TIMEOUT:g} s") from None
    return done.returncode, done.stdout, done.stderr


def _read(path: str, otherwise: Any) -> Any:
    """Return what a file of JSON holds, or something else where it is not there."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return otherwise
