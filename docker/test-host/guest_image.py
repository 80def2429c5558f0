"""Disk images for the test guest, each showing a name and a colour of its own.

The image is the boot sector assembled from ``guest.asm`` with the VM's name and
a colour derived from that name patched in. A test imports this module to know
the colour that it must find on a VM's screen; the test hypervisor runs it to
make the images (``guest_image.py NAME OUTPUT``).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

BOOT_SECTOR = Path("/usr/local/lib/test-host/guest.bin")
SECTOR_BYTES = 512
MARKER = b"IDENTITY"  # what precedes the colour and the name in guest.asm
NAME_BYTES = 63  # the field has one more, for the NUL at the end

# One channel is low, one middling and one high, in an order taken from the name:
# never grey, never black, and a swap of two channels always shows. The tops of
# the bands keep white text readable (contrast 3:1 or better). VGA units, 0 to 63.
BANDS = (0, 14, 28)
BAND_WIDTH = 12


def _vga_colour(name: str) -> tuple[int, int, int]:
    """Return the colour of the VM ``name`` as the VGA gets it: red, green, blue, 0 to 63."""
    order, *offsets = hashlib.sha256(name.encode()).digest()[:4]
    orders = tuple(itertools.permutations(BANDS))
    red, green, blue = (
        band + offset % BAND_WIDTH for band, offset in zip(orders[order % len(orders)], offsets)
    )
    return red, green, blue


def colour(name: str) -> tuple[int, int, int]:
    """Return the background colour of a VM's screen, exactly as a VNC client sees it.

    Args:
        name: The VM's name.

    Returns:
        Red, green and blue, 0 to 255. The same for every call with this name;
        10368 colours are possible, so two names rarely share one.
    """
    # QEMU widens 6 bits to 8 by repeating the lowest bit, so that 63 becomes 255.
    red, green, blue = (c << 2 | (c & 1) * 0b11 for c in _vga_colour(name))
    return red, green, blue


def image(boot_sector: bytes, name: str) -> bytes:
    """Return the bootable disk image of a VM.

    Args:
        boot_sector: The assembled ``guest.asm``, 512 bytes.
        name: The VM's name, 1 to 63 characters that the PC's own font has (code page 437).

    Returns:
        The boot sector with the name and its colour filled in, 512 bytes.

    Raises:
        ValueError: The name cannot be shown, or ``boot_sector`` is not 512
            bytes with the field for name and colour in it.
    """
    shown = name.encode("cp437", "replace")
    if not (name.isprintable() and shown.decode("cp437") == name and 1 <= len(name) <= NAME_BYTES):
        raise ValueError(f"name must be 1 to {NAME_BYTES} characters that a PC can show: {name!r}")
    if len(boot_sector) != SECTOR_BYTES:
        raise ValueError(f"boot sector must have {SECTOR_BYTES} bytes, not {len(boot_sector)}")
    code, marker, rest = boot_sector.partition(MARKER)
    field = bytes(_vga_colour(name)) + shown.ljust(NAME_BYTES + 1, b"\0")
    if not marker or len(rest) < len(field):
        raise ValueError(f"boot sector has no field marked {MARKER.decode()}")
    return code + marker + field + rest[len(field) :]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the image for a name to a file.

    Args:
        argv: The command line without the program's name; ``sys.argv`` if None.

    Returns:
        The exit status, 0.

    Raises:
        SystemExit: With status 2 and a message, if the arguments are wrong, a
            file cannot be read or written, or no image can be made of them.
    """
    parser = argparse.ArgumentParser(description="Write a test guest's disk image.")
    parser.add_argument("name", help="name of the VM, which it shows on its screen")
    parser.add_argument("output", type=Path, help="image file to write")
    parser.add_argument(
        "--boot-sector",
        type=Path,
        default=BOOT_SECTOR,
        help="assembled guest.asm (default: %(default)s)",
    )
    options = parser.parse_args(argv)
    try:
        content = image(options.boot_sector.read_bytes(), options.name)
        options.output.write_bytes(content)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
