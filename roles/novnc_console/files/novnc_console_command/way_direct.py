# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The hops of a direct console."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.diagnosis import BrokenError, Step
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError
from ansible_collections.novnc.fleet.plugins.module_utils.notation import UnixTarget, parse_target
from ansible_collections.novnc.fleet.plugins.module_utils.page import fetch_page
from ansible_collections.novnc.fleet.plugins.module_utils.probe import probe
from ansible_collections.novnc.fleet.plugins.module_utils.units import service_unit, socket_unit
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Vm

from novnc_console_command.hops import CONSOLES_YML, certificate, listens, may_open
from novnc_console_command.host import Host, Known

_TIMEOUT = 10.0
"""Seconds for a page, and for the way to the VM."""


def direct_steps(host: Host, known: Known, vm: Vm, console: dict[str, Any]) -> Iterator[Step]:
    """Yield the hops of one direct console, an entry of ``consoles.json``."""
    name, vnc = console["vm"], parse_target(console["vnc"])
    service = service_unit(name)
    yield "direct-target", lambda: _leads(console, vm)
    yield (
        "direct-listener",
        lambda: listens(host, known, socket_unit(name), console["listen"]),
    )
    if isinstance(vnc, UnixTarget):
        path = vnc.path
        yield "direct-rights", lambda: may_open(host, service, path, "novnc_console_groups")
    if console["websocket"].startswith("wss:"):
        mend = f"renew novnc_console_tls_cert; 'journalctl -u {service}' says more"
        yield "direct-certificate", lambda: certificate(console["listen"], mend)
    yield "direct-page", lambda: _page(host, service, console)
    yield "direct-websocket", lambda: _websocket(host, known, service, console)


def _leads(console: dict[str, Any], vm: Vm) -> str:
    """Tell that a console goes to its VM. Raises BrokenError."""
    target = parse_target(console["vnc"])
    if not any(display.is_reached_by(target) for display in vm.displays):
        places = ", ".join(str(display.target) for display in vm.displays)
        words = f"the console {console['vm']} goes to {target}, {vm.name} is at {places}"
        raise BrokenError(words, f"correct its vnc in novnc_vms and {CONSOLES_YML}")
    return f"the console {console['vm']} goes to {target}"


def _page(host: Host, service: str, console: dict[str, Any]) -> str:
    page = console["url"].partition("#")[0]
    try:
        fetch_page(page, Deadline(_TIMEOUT), verify=False)
    except HopError as error:
        raise _told(host, service, f"its page is not there: {error}") from None
    return f"{page} is served"


def _websocket(host: Host, known: Known, service: str, console: dict[str, Any]) -> str:
    others = {one["expect_name"] for one in known.consoles} - {console["expect_name"]}
    seen = probe(
        console["websocket"],
        expect_name=console["expect_name"],
        expect_is_strict=console["expect_strict"],
        other_names=others,
        origin=(console["origins"] or [None])[0],
        verify=False,
        timeout=_TIMEOUT,
    )
    if not seen.ok:
        raise _told(host, service, f"its WebSocket does not reach the VM: {seen.error}")
    shown = f"reaches {seen.desktop_name!r}" if seen.desktop_name else "reaches a VNC server"
    return f"{console['websocket']} {shown}"


def _told(host: Host, service: str, words: str) -> BrokenError:
    """Return what is broken, with what the service has last said of it."""
    last = host.last_words(service)
    told = f"{words} ({service} said last: {last})" if last else words
    return BrokenError(told, f"see 'journalctl -u {service}', and {CONSOLES_YML}")
