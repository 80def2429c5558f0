# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""A PNG writer for screenshots, from the standard library alone."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encode_png(width: int, height: int, rgb: bytes) -> bytes:
    """Return an image as the bytes of a PNG file (8 bits a channel, no alpha).

    Args:
        width: Pixels in a row, at least 1.
        height: Rows, at least 1.
        rgb: Rows from the top, each ``width`` times red, green, blue.

    Raises:
        ValueError: ``rgb`` is not ``width * height * 3`` bytes long, or the image is empty.

    Source: PNG (ISO/IEC 15948), sections 5 (structure), 9 (filter 0, "none") and 11.2 (IHDR).
    """
    if width < 1 or height < 1 or len(rgb) != width * height * 3:
        raise ValueError(f"{len(rgb)} bytes are no {width}x{height} RGB image")
    stride = width * 3
    rows = b"".join(b"\x00" + rgb[start : start + stride] for start in range(0, len(rgb), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Return one PNG chunk: length, type, data and the CRC of type and data (section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
