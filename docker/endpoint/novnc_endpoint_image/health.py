# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""HEALTHCHECK: the endpoint speaks TLS, and a VM that runs greets.

No session is opened: the VNC servers are asked where the endpoint would find them, as far as the
login and no further, and all at once. One that wants a login is asked once: TigerVNC shuts out
whoever keeps coming without one, and visitors come from the same address.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Vm, VmsError, find_vms
from ansible_collections.novnc.fleet.plugins.module_utils.vms_asked import Asked
from ansible_collections.novnc.fleet.plugins.module_utils.vms_typed import Typed
from novnc_endpoint.settings import read_settings
from novnc_image.health import check, connect, inside, speaks_rfb, trusting

from novnc_endpoint_image.settings import SETTINGS, listen_address

WANT_LOGIN = Path("/dev/shm/novnc-want-login")  # noqa: S108 (the container's own)
"""The servers that have said so, a line each; the one place that every container may write to."""
_NOBODY_THERE = ("ECONNREFUSED", "ENOENT")


class _Unasked(Asked):
    """Leaves the servers of typed consoles alone: they are asked here, once and not twice."""

    def states(self, consoles: Sequence[Typed]) -> list[str]:
        """Return that of none of them anything is known."""
        return ["unknown" for _ in consoles]


def speaks_tls() -> None:
    """See that the listener shakes hands. Raises HopError, OSError."""
    with connect(inside(listen_address())) as stream, trusting().wrap_socket(stream.sock):
        pass


def a_vm_greets() -> None:
    """See that one of the VMs that run can be reached, if any runs. Raises HopError."""
    settings = read_settings(SETTINGS)
    try:
        vms = find_vms(settings.host, settings.qmp, asked=_Unasked())
    except VmsError as error:
        raise HopError("vms", str(error)) from None
    one_greets([vm for vm in vms if vm.state != "off" and vm.displays])


def one_greets(vms: Sequence[Vm]) -> None:
    """See that one of some VMs can be reached, unless none of them runs. Raises HopError."""
    known = _known()
    if not vms or any(str(vm.displays[0].target) in known for vm in vms):
        return
    # Each has the same few seconds: together they take no longer than one.
    with ThreadPoolExecutor(len(vms)) as threads:
        failures = list(threads.map(_failure, vms))
    # What is known by its console only is off where nothing listens.
    left = [one for vm, one in zip(vms, failures) if not (one and _is_off(vm, one))]
    if left and all(left):
        raise next(filter(None, left))


def _failure(vm: Vm) -> HopError | None:
    """Ask a VM's VNC server; return why it does not greet, None if it does."""
    target = vm.displays[0].target
    try:
        if speaks_rfb(target):
            with suppress(OSError), WANT_LOGIN.open("a", encoding="utf-8") as file:
                file.write(f"{target}\n")
    except HopError as error:
        return error
    except OSError as error:
        return HopError("connect", f"cannot ask {target}: {error}")
    return None


def _is_off(vm: Vm, failure: HopError) -> bool:
    return vm.source == "consoles" and failure.errno_name in _NOBODY_THERE


def _known() -> frozenset[str]:
    with suppress(OSError):
        return frozenset(WANT_LOGIN.read_text(encoding="utf-8").splitlines())
    return frozenset()


if __name__ == "__main__":
    check(speaks_tls, a_vm_greets)
