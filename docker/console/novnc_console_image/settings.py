# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the environment of a console's container comes to."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    TcpTarget,
    UnixTarget,
    parse_target,
)
from novnc_image.environment import WrittenError, value
from novnc_image.listener import parse_listen

DEFAULT_LISTEN = "0.0.0.0:6080"
OWN_PAGE = "self"
"""In console_proxy.py, the origin of the console's own page by an address."""
_ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?\Z")
_PEM = "-----BEGIN "


@dataclass(frozen=True)
class Settings:
    """A console.

    Attributes:
        target: The VNC server.
        listen: Where browsers come.
        origins: Whose pages may open it.
        tls: Files of certificate and key; None for plain http.
    """

    target: TcpTarget | UnixTarget
    listen: TcpTarget | UnixTarget
    origins: tuple[str, ...]
    tls: tuple[str, str] | None


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return what is written. Raises WrittenError."""
    return Settings(
        target=_target(value(environ, "VNC_TARGET")),
        listen=parse_listen(value(environ, "LISTEN", DEFAULT_LISTEN)),
        origins=_origins(value(environ, "ALLOWED_ORIGINS")),
        tls=_tls(environ),
    )


def _target(text: str) -> TcpTarget | UnixTarget:
    if not text:
        raise WrittenError(
            "VNC_TARGET is missing; it names the VNC server: host:port, [v6]:port or unix:/path"
        )
    try:
        return parse_target(text)
    except ValueError as error:
        raise WrittenError(f"VNC_TARGET: {error}") from None


def _origins(text: str) -> tuple[str, ...]:
    found = tuple(text.replace(",", " ").split())
    for origin in found:
        if not _ORIGIN.match(origin):
            raise WrittenError(
                f"ALLOWED_ORIGINS has {origin!r}, which no browser sends; write such as"
                " https://consoles.example.com, several with blanks between them"
            )
    return found or (OWN_PAGE,)


def _tls(environ: Mapping[str, str]) -> tuple[str, str] | None:
    cert, key = (_pem_file(environ, name) for name in ("TLS_CERT", "TLS_KEY"))
    if not (cert or key):
        return None
    if not (cert and key):
        raise WrittenError("TLS_CERT and TLS_KEY belong together; write both or none")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if not isinstance(error, ssl.SSLError) else error.reason
        raise WrittenError(
            f"TLS_CERT and TLS_KEY are no certificate with its key that uid {os.getuid()} can"
            f" read: {reason or error}"
        ) from None
    return cert, key


def _pem_file(environ: Mapping[str, str], name: str) -> str:
    """Return the file of a certificate or key, which is a path or the text itself.

    A path is read anew for each visitor, so that a renewed certificate counts at once. Text is
    kept in memory, as a container may have no place to write to.
    """
    if environ.get(f"{name}_FILE") and not environ.get(name):
        return environ[f"{name}_FILE"]
    text = value(environ, name)
    if not text or text.startswith("/"):
        return text
    if not text.startswith(_PEM):
        raise WrittenError(f"{name} is neither an absolute path nor PEM ('{_PEM}…')")
    descriptor = os.memfd_create(name, 0)
    os.write(descriptor, f"{text}\n".encode())
    return f"/proc/self/fd/{descriptor}"
