# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The hops of the endpoint, by which gateways reach the VM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ansible_collections.novnc.fleet.plugins.module_utils.diagnosis import BrokenError, Step
from ansible_collections.novnc.fleet.plugins.module_utils.notation import UnixTarget
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Vm

from novnc_console_command.control import Control, ControlError
from novnc_console_command.hops import CONSOLES_YML, certificate, listens, may_open
from novnc_console_command.host import Host, Known

SOCKET, SERVICE = "novnc-endpoint.socket", "novnc-endpoint.service"
RESTART = f"systemctl restart {SERVICE}"

OWN_CA = "/etc/novnc-fleet/endpoint/ca.crt"
"""The authority of the roles' own certificates, which signs this one too."""


def endpoint_steps(host: Host, control: Control, known: Known, vm: Vm) -> Iterator[Step]:
    """Yield the hops of the endpoint, up to the VM."""
    address = known.endpoint["address"]
    yield "endpoint-listener", lambda: listens(host, known, SOCKET, address)
    yield "endpoint-service", lambda: _answers(host, control)
    mend = f"renew it: {CONSOLES_YML}, or with certificates of your own systemctl reload {SERVICE}"
    ca = _authority(known.endpoint["ca"])
    yield "endpoint-certificate", lambda: certificate(address, mend, ca)
    target = vm.displays[0].target
    if isinstance(target, UnixTarget):
        path = target.path
        yield "endpoint-rights", lambda: may_open(host, SERVICE, path, "novnc_endpoint_groups")


def _answers(host: Host, control: Control) -> str:
    """Tell that the service is well. Raises BrokenError."""
    state = host.properties(SERVICE, "ActiveState")["ActiveState"]
    if state != "active":
        last = host.last_words(SERVICE)
        words = f"{SERVICE} is {state}{f' ({last})' if last else ''}"
        raise BrokenError(words, f"{RESTART}; 'journalctl -u {SERVICE}' says more")
    try:
        count = len(control.sessions())
    except ControlError as error:
        raise BrokenError(str(error), RESTART) from None
    return f"{SERVICE} is active and has {count} sessions"


def _authority(ca: str) -> str | None:
    """Return the authority that has issued the endpoint's certificate, if the roles have.

    Of certificates of somebody's own only that of the gateways' authority is known.
    """
    try:
        return OWN_CA if Path(ca).read_bytes() == Path(OWN_CA).read_bytes() else None
    except OSError:
        return None
