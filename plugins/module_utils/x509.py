# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Until when a certificate is valid (RFC 5280, section 4.1). Pure.

Python's own ssl tells that of certificates it trusts only, which those that have expired are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

_SEQUENCE, _EXPLICIT_VERSION = 0x30, 0xA0
_TIMES = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """Return from when and until when a certificate in DER is valid.

    Raises:
        ValueError: It is no certificate.
    """
    (outer,) = (content for _tag, content in _parts(certificate))
    to_be_signed, *_ = (content for _tag, content in _parts(outer))
    fields = [(tag, content) for tag, content in _parts(to_be_signed) if tag != _EXPLICIT_VERSION]
    if len(fields) < 4 or fields[3][0] != _SEQUENCE:
        raise ValueError("this is no certificate")
    # After its number, its algorithm and who issued it.
    start, end = (_time(tag, content) for tag, content in _parts(fields[3][1]))
    return start, end


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each value of DER in a row. Raises ValueError."""
    while data:
        if len(data) < 2:
            raise ValueError("this is no certificate")
        tag, length, at = data[0], data[1], 2
        if length & 0x80:
            at += length & 0x7F
            length = int.from_bytes(data[2:at], "big")
        if len(data) < at + length:
            raise ValueError("this is half a certificate")
        yield tag, data[at : at + length]
        data = data[at + length :]


def _time(tag: int, content: bytes) -> datetime:
    if tag not in _TIMES:
        raise ValueError("this is no certificate")
    # strptime takes years up to 68 for those of this century, RFC 5280 up to 49.
    found = datetime.strptime(content.decode("ascii"), _TIMES[tag]).replace(tzinfo=timezone.utc)
    return found.replace(year=found.year - 100) if tag == 0x17 and found.year >= 2050 else found
