# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Hops that both ways to a console have: a listener, a certificate, the right to open a socket."""

from __future__ import annotations

import grp
import pwd
import ssl
import subprocess
import sys
from datetime import datetime, timezone

from ansible_collections.novnc.fleet.plugins.module_utils.connect import connect_tcp, start_tls
from ansible_collections.novnc.fleet.plugins.module_utils.diagnosis import BrokenError
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError
from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    TcpTarget,
    parse_address,
    parse_target,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_typed import is_local
from ansible_collections.novnc.fleet.plugins.module_utils.x509 import validity

from novnc_console_command.host import Host, Known

CONSOLES_YML = "run playbooks/consoles.yml"

SOON = 14
"""Days before its end from which on a certificate is said to need renewal."""

_TIMEOUT = 5.0
_NOBODY = 65534

_CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def listens(host: Host, known: Known, unit: str, listen: str) -> str:
    """Tell that a socket unit stands and listens where it is planned. Raises BrokenError."""
    shown = host.properties(unit, "LoadState", "ActiveState", "UnitFileState")
    if shown["LoadState"] != "loaded":
        raise BrokenError(f"there is no {unit} ({shown['LoadState']})", CONSOLES_YML)
    if shown["ActiveState"] != "active":
        words = f"{unit} is {shown['ActiveState']}"
        raise BrokenError(words, f"systemctl start {unit}; 'journalctl -u {unit}' says more")
    if shown["UnitFileState"] != "enabled":
        words = f"{unit} is not enabled, so it is gone after the next boot"
        raise BrokenError(words, f"systemctl enable {unit}")
    if listen not in known.listeners:
        raise BrokenError(f"{unit} does not listen at {listen}, as is planned", CONSOLES_YML)
    place = parse_target(listen)
    if not is_local(place):
        words = f"{unit} listens at {listen}, an address that the host does not have"
        raise BrokenError(words, "bring the interface up, or correct the address in the inventory")
    return f"{unit} listens at {listen}"


def from_here(listen: str) -> TcpTarget:
    """Return where to reach a listener of this host from itself: a wildcard by loopback. Pure."""
    place = parse_target(listen)
    if not isinstance(place, TcpTarget):
        raise ValueError(f"'{listen}' is no listener")
    address = parse_address(place.host)
    if address is None or not address.is_unspecified:
        return place
    return TcpTarget("127.0.0.1" if address.version == 4 else "::1", place.port)


def certificate(listen: str, mend: str, ca: str | None = None) -> str:
    """Tell until when the certificate at a listener is valid.

    Args:
        listen: ``address:port``.
        mend: What makes it good.
        ca: File of the authority that is to have issued it, for the listener's address.

    Raises:
        BrokenError: It is not valid now, or not trusted; or there is none.
    """
    try:
        days = days_left(*validity(_served(listen)), datetime.now(timezone.utc))
        if ca:
            _served(listen, ca)
    except HopError as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            words = f"its certificate is not trusted: {cause.verify_message.rstrip('.')}"
            raise BrokenError(words, mend) from None
        raise BrokenError(str(error), mend) from None
    except ValueError as error:
        raise BrokenError(f"its certificate is not valid: {error}", mend) from None
    left = f"its certificate is valid for another {days} days"
    return left if days >= SOON else f"{left} only; {mend}"


def days_left(start: datetime, end: datetime, now: datetime) -> int:
    """Return for how many whole days something is valid. Pure. Raises ValueError if it is not."""
    if now > end:
        raise ValueError(f"it has expired on {end:%Y-%m-%d}")
    if now < start:
        raise ValueError(f"it is valid from {start:%Y-%m-%d} on; is the clock right?")
    return (end - now).days


def _served(listen: str, ca: str | None = None) -> bytes:
    """Return the certificate that is served, in DER. Raises HopError."""
    place = from_here(listen)
    with connect_tcp(place.host, place.port, Deadline(_TIMEOUT)) as transport:
        start_tls(transport, place.host, ca=ca, verify=ca is not None)
        sock = transport.sock
        return (isinstance(sock, ssl.SSLSocket) and sock.getpeercert(binary_form=True)) or b""


def may_open(host: Host, unit: str, path: str, knob: str) -> str:
    """Tell that a service may open a unix socket, by opening it with its user and groups.

    Args:
        host: This host.
        unit: The service.
        path: The socket.
        knob: The variable that holds its groups.

    Raises:
        BrokenError: It may not.
    """
    shown = host.properties(unit, "User", "SupplementaryGroups")
    try:
        user = pwd.getpwnam(shown.get("User", ""))
        uid, gid = user.pw_uid, user.pw_gid
    except KeyError:  # a dynamic one, while its service is at rest
        uid = gid = _NOBODY
    names = shown.get("SupplementaryGroups", "").split()
    try:
        groups = [grp.getgrnam(name).gr_gid for name in names]
    except KeyError as error:
        raise BrokenError(f"{unit} belongs to a group that is not there: {error}", knob) from None
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _CONNECT, path],
            user=uid,
            group=gid,
            extra_groups=groups,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BrokenError(f"unix:{path} does not answer", "look at its QEMU") from None
    who = f"with the groups {', '.join(names)}" if names else "without any group"
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BrokenError(
            f"{unit}, {who}, may not open unix:{path}: {reason}",
            f"see 'VNC servers on unix sockets' in the README, and {knob}",
        )
    return f"{unit}, {who}, may open unix:{path}"
