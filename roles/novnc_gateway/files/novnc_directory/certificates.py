# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""When a certificate ends (RFC 5280, section 4.1); pure but for reading its file."""

from __future__ import annotations

import calendar
import ssl
import time

_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17


def expires(path: str) -> float:
    """Return when the first certificate of a PEM file ends, in seconds of the wall clock.

    Raises OSError, and ValueError for what is no certificate.
    """
    with open(path, encoding="ascii") as file:
        text = file.read()
    head, end, _ = text.partition("-----END CERTIFICATE-----")
    start = head.find("-----BEGIN CERTIFICATE-----")
    if not end or start < 0:
        raise ValueError(f"{path} is no certificate")
    return not_after(ssl.PEM_cert_to_DER_cert(head[start:] + end))


def not_after(der: bytes) -> float:
    """Return the same of a certificate in DER. Raises ValueError."""
    try:
        (_, certificate), *_ = _values(der)
        (_, signed), *_ = _values(certificate)
        fields = [one for one in _values(signed) if one[0] != _VERSION]
        # Serial number, algorithm, issuer, validity.
        _, (kind, end) = _values(fields[3][1])
    except (IndexError, ValueError):
        raise ValueError("this is no certificate") from None
    form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return float(calendar.timegm(time.strptime(end.decode("ascii"), form)))


def _values(der: bytes) -> list[tuple[int, bytes]]:
    """Return the tags and contents that stand one after the other."""
    found = []
    while der:
        tag, length, start = der[0], der[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(der[2:start], "big")
        found.append((tag, der[start : start + length]))
        der = der[start + length :]
    return found
