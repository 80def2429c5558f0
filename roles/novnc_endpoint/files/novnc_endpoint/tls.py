# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Mutual TLS: who may speak to the endpoint at all, and whose certificate is believed."""

from __future__ import annotations

import ssl
from asyncio import sslproto
from collections.abc import Mapping
from typing import Any

# asyncio lends each connection of TLS a room of 256 KiB for as long as it lasts, which would be
# nine tenths of a session's memory.
if hasattr(sslproto.SSLProtocol, "max_size"):
    sslproto.SSLProtocol.max_size = 32 * 1024


def server_context(cert: str, key: str, ca: str) -> ssl.SSLContext:
    """Return a context that lets nobody in without a certificate of the authority ``ca``.

    Raises:
        OSError: A file is missing or unfit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    # Who comes back with a ticket spares both sides half of the work. It is this context's: other
    # certificates make another one. Whether a name is on the list is asked with each request.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:  # which names no file
        raise OSError(f"the certificate {cert} with the key {key} is of no use: {error}") from error
    try:
        context.load_verify_locations(cafile=ca)
    except OSError as error:
        raise OSError(f"the authority {ca} is of no use: {error}") from error
    return context


def has_ended(peercert: Mapping[str, Any], now: float) -> bool:
    """Tell whether a verified certificate is no longer good: a ticket may outlast it."""
    return ssl.cert_time_to_seconds(peercert["notAfter"]) < now


def certificate_names(peercert: Mapping[str, Any]) -> frozenset[str]:
    """Return the names a verified certificate bears.

    They are its DNS names; the common name of its subject only where it has no alternative names
    at all (RFC 6125, section 6.4.4).

    Args:
        peercert: As `ssl.SSLSocket.getpeercert` returns it.
    """
    alternative = peercert.get("subjectAltName", ())
    if alternative:
        return frozenset(value for kind, value in alternative if kind == "DNS")
    subject = [pair for part in peercert.get("subject", ()) for pair in part]
    return frozenset(value for kind, value in subject if kind == "commonName")
