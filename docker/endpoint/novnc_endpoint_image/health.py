# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""HEALTHCHECK: the endpoint speaks TLS, and a VM that runs greets.

No session is opened: the VNC server is asked where the endpoint would find it.
"""

from __future__ import annotations

from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.vms import VmsError, find_vms
from novnc_endpoint.settings import read_settings
from novnc_image.health import check, connect, inside, speaks_rfb, trusting

from novnc_endpoint_image.settings import SETTINGS, listen_address


def speaks_tls() -> None:
    """See that the listener shakes hands. Raises HopError, OSError."""
    with connect(inside(listen_address())) as stream, trusting().wrap_socket(stream.sock):
        pass


def a_vm_greets() -> None:
    """See that one of the VMs that run can be reached, if any runs. Raises HopError."""
    settings = read_settings(SETTINGS)
    try:
        vms = find_vms(settings.host, settings.qmp)
    except VmsError as error:
        raise HopError("vms", str(error)) from None
    failure = None
    for vm in vms:
        # Unknown is one that listens and says nothing.
        if vm.state == "off" or not vm.displays:
            continue
        try:
            speaks_rfb(vm.displays[0].target)
        except HopError as error:
            failure = error
        else:
            return
    if failure:
        raise failure


if __name__ == "__main__":
    check(speaks_tls, a_vm_greets)
