# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""One entry of ``novnc_vms``: its keys, their values, and what is wrong with them. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    IPAddress,
    Target,
    TcpTarget,
    parse_address,
    parse_port,
    parse_target,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
"""Console names: safe as file name, unit instance and part of a URL."""


@dataclass(frozen=True)
class Key:
    """What may be written under a VM: its meaning, and what holds without it."""

    meaning: str
    default: str


KEYS = {
    "vnc": Key(
        'the VNC server: a port on 127.0.0.1, `"host:port"`, `"[v6]:port"` or `"unix:/path"`',
        "required",
    ),
    "title": Key("what people read", "the name"),
    "expect_name": Key(
        "the desktop name that its VNC server announces; if it is written, any other is a failure",
        "`QEMU (<name>)`",
    ),
    "listen_address": Key(
        "the IP address (never a name) where its direct console listens; a wildcard or a public"
        " address only if it is written",
        "`novnc_console_listen_address`",
    ),
    "listen_port": Key(
        "its port there; a VNC server on a unix socket needs it",
        "the VNC server's own port; where libvirt hands out displays 16000 + (port - 5900)",
    ),
}
"""The keys of an entry; the documentation of ``novnc_vms`` is made from this table."""


class EntryError(Exception):
    """A sentence about one key of one VM, with value and mend."""


@dataclass(frozen=True)
class Entry:
    """One VM as it was written, checked; what was not written is None."""

    name: str
    vnc: Target
    title: str | None
    expect_name: str | None
    listen_address: IPAddress | None
    listen_port: int | None

    @property
    def port(self) -> int | None:
        """The port of its VNC server, if it is on TCP."""
        return self.vnc.port if isinstance(self.vnc, TcpTarget) else None


def shown(value: object, *, bare: bool = False) -> str:
    """Return a value as it is quoted in messages: on one line and not without end."""
    try:
        text = value if bare and isinstance(value, str) and value.isprintable() else repr(value)
    except ValueError:  # an int of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def parse_entry(name: object, value: object) -> Entry:
    """Return the entry of one VM.

    Args:
        name: its key in ``novnc_vms``.
        value: a port, a target or a mapping of keys.

    Raises:
        EntryError: with a sentence that names key, value and mend.
    """
    checked = parse_name(name)
    keys = dict(value) if isinstance(value, Mapping) else {"vnc": value}
    for key in keys:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(KEYS)}"
            raise EntryError(f"unknown key {shown(key)}; {hint}")
    return Entry(
        name=checked,
        vnc=_target(keys.get("vnc")),
        title=_text(keys, "title"),
        expect_name=_text(keys, "expect_name"),
        listen_address=_address(keys.get("listen_address")),
        listen_port=_port(keys.get("listen_port")),
    )


def parse_name(name: object) -> str:
    """Return a console's name; raise EntryError if it cannot be one."""
    plain = isinstance(name, int) and not isinstance(name, bool) and 0 <= name < 10**9
    text = str(name) if plain else name
    if not isinstance(text, str) or not NAME.match(text):
        raise EntryError(
            "no name for a console; use 1 to 63 letters, digits, '.', '_' or '-',"
            " the first a letter or a digit"
        )
    return text


def _text(keys: Mapping[str, object], key: str) -> str | None:
    value = keys.get(key)
    if value is None:
        return None
    text = value if isinstance(value, str) else ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
        text = str(value)
    if text.strip() and text.isprintable() and len(text) <= 200:
        return text
    raise EntryError(
        f"{key} {shown(value)} is no text of one line (200 characters at most, in quotes)"
    )


def _number(value: object, key: str) -> int | None:
    """Return a port written as number or text, None for any other text."""
    huge = isinstance(value, int) and abs(value) >= 10**9
    if isinstance(value, bool) or huge or not isinstance(value, (int, str)):
        raise EntryError(f"{key} {shown(value)} is no port; a port is a number from 1 to 65535")
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value, re.ASCII):
        return None
    try:
        return parse_port(str(value))
    except ValueError as error:
        raise EntryError(f"{key} {error}") from None


def _target(value: object) -> Target:
    if value is None:
        raise EntryError(f"vnc is missing; it names {KEYS['vnc'].meaning.replace('`', '')}")
    port = _number(value, "vnc")
    if port is not None:
        return TcpTarget("127.0.0.1", port)
    try:
        return parse_target(str(value))
    except ValueError as error:
        raise EntryError(f"vnc {error}") from None


def _address(value: object) -> IPAddress | None:
    if value is None:
        return None
    address = parse_address(value) if isinstance(value, str) else None
    if address is None:
        raise EntryError(
            f"listen_address {shown(value)} is no IP address; leave it out for the host's"
        )
    return address


def _port(value: object) -> int | None:
    if value is None:
        return None
    port = _number(value, "listen_port")
    if port is None:
        raise EntryError(
            f"listen_port {shown(value)} is no port; a port is a number from 1 to 65535"
        )
    return port
