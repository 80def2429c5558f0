# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Screens: the canvas that rectangles are painted on, and the finished picture; pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.novnc.fleet.plugins.module_utils.png import encode_png

MAX_SIDE = 16384
"""Longest side of a screen that is believed, in pixels."""
MAX_PIXELS = 64 * 1024 * 1024
"""Largest screen that memory is given for; twice an 8K screen."""


class SizeError(ValueError):
    """A screen or rectangle of impossible size."""


def check_side_lengths(width: int, height: int) -> None:
    """Raise SizeError if a side exceeds `MAX_SIDE`; 0 is a screen that is off."""
    if max(width, height) > MAX_SIDE:
        raise SizeError(f"a screen of {width}x{height} pixels; at most {MAX_SIDE} a side are taken")


@dataclass(frozen=True)
class Framebuffer:
    """A picture of a screen.

    Attributes:
        width: Pixels in a row.
        height: Rows.
        rgb: Rows from the top; three bytes a pixel: red, green, blue.
    """

    width: int
    height: int
    rgb: bytes = field(repr=False)

    def pixel(self, x: int, y: int) -> tuple[int, int, int]:
        """Return red, green, blue (0-255) of a pixel. Raises IndexError outside the screen."""
        if not (0 <= x < self.width and 0 <= y < self.height):
            raise IndexError(f"({x}, {y}) is not on a screen of {self.width}x{self.height}")
        start = (y * self.width + x) * 3
        red, green, blue = self.rgb[start : start + 3]
        return red, green, blue

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        return encode_png(self.width, self.height, self.rgb)


class Canvas:
    """A screen being painted with rectangles of four bytes a pixel (the fourth unused)."""

    def __init__(self, width: int, height: int) -> None:
        """Start with nothing painted. Raises SizeError if empty or too large to hold."""
        check_side_lengths(width, height)
        if not 0 < width * height <= MAX_PIXELS:
            raise SizeError(f"a screen of {width}x{height} pixels cannot be pictured")
        self.width = width
        self.height = height
        self._pixels = bytearray(4 * width * height)
        self._painted = bytearray(width * height)  # 1 for each painted pixel

    def paint(self, x: int, y: int, width: int, height: int, pixels: bytes) -> None:
        """Paint one rectangle, whose size `check_rectangle` has passed."""
        for row in range(height):
            start = (y + row) * self.width + x
            line = pixels[4 * width * row : 4 * width * (row + 1)]
            self._pixels[4 * start : 4 * (start + width)] = line
            self._painted[start : start + width] = b"\x01" * width

    def check_rectangle(self, x: int, y: int, width: int, height: int) -> None:
        """Raise SizeError if a rectangle sticks out; to be asked before reading its pixels."""
        if x + width > self.width or y + height > self.height:
            raise SizeError(
                f"a rectangle {width}x{height} at ({x}, {y}) outside the screen of "
                f"{self.width}x{self.height}"
            )

    def complete(self) -> bool:
        """Return whether every pixel has been painted."""
        return 0 not in self._painted

    def picture(self) -> Framebuffer:
        """Return what has been painted; pixels not painted are black."""
        rgb = bytearray(3 * self.width * self.height)
        for channel in range(3):
            rgb[channel::3] = self._pixels[channel::4]
        return Framebuffer(self.width, self.height, bytes(rgb))
