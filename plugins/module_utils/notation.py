# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Addresses as people write them: ``host:port``, ``[v6]:port``, ``unix:/path``.

Pure functions, shared by the planner, the probe and the modules above them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Union

IPAddress = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

UNIX_PATH_MAX = 107
"""Bytes that fit into ``sockaddr_un.sun_path`` beside the closing NUL (unix(7))."""

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
                        r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\Z")  # fmt: skip


def parse_address(text: str) -> IPAddress | None:
    """Return an IP address with or without brackets, or None if the text is not one.

    An address with a zone (``fe80::1%eth0``) counts as none: no URL can carry it (RFC 3986).
    A v4-mapped IPv6 address is returned as the IPv4 address that it means.
    """
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def bracketed(host: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address gets brackets."""
    return f"[{host}]" if ":" in host else host


def join(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"{bracketed(host)}:{port}"


@dataclass(frozen=True)
class TcpTarget:
    """A VNC server on a TCP port; ``host`` is a name or an address without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return join(self.host, self.port)


@dataclass(frozen=True)
class UnixTarget:
    """A VNC server on a unix socket; ``path`` is absolute."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Target = Union[TcpTarget, UnixTarget]


def parse_port(text: str) -> int:
    """Return a port number (1 to 65535); raise ValueError with a sentence if it is none."""
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"'{text}' is no port; a port is a number from 1 to 65535")
    return int(text)


def parse_target(text: str) -> Target:
    """Return the VNC server that a text names.

    Args:
        text: ``host:port``, ``[v6]:port`` or ``unix:/path``.

    Raises:
        ValueError: with a sentence that names the value and the mend.
    """
    if text.startswith("unix:"):
        return _unix_target(text)
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"'{text}' is neither 'host:port', '[v6]:port' nor 'unix:/path'")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"'{text}' needs brackets around its IPv6 address: '[{host}]:{port}'")
    number = parse_port(port)
    bare = host[1:-1] if host.startswith("[") else host
    address = parse_address(bare)
    if address is not None:
        return TcpTarget(str(address), number)
    if host.startswith("[") or not _HOST_NAME.match(bare):
        raise ValueError(f"'{host}' in '{text}' is neither a host name nor an IP address")
    return TcpTarget(bare, number)


def _unix_target(text: str) -> UnixTarget:
    path = text[len("unix:") :]
    if not path.startswith("/"):
        raise ValueError(f"'{text}' needs an absolute path: 'unix:/…'")
    if not path.isprintable():
        raise ValueError(f"{text!r} has a character in its path that cannot be printed")
    if len(path.encode()) > UNIX_PATH_MAX:
        raise ValueError(f"'{text}' is longer than the {UNIX_PATH_MAX} bytes of a socket's path")
    return UnixTarget(path)
