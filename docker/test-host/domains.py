"""Define and start libvirt domains that run the test guest, all in one call.

Usage: ``domains.py JSON``, a mapping of name to kind; see `KINDS`. What is there
stays as it is. Prints the names of those that were started.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import guest_image

IMAGES = Path("/var/lib/libvirt/images")
AUTO = "port='-1' autoport='yes' listen='127.0.0.1'"
SECRET = "secret"  # noqa: S105 (of a test guest)

KINDS = {
    "auto": f"<graphics type='vnc' {AUTO}/>",
    "fixed": "<graphics type='vnc' port='5910' autoport='no' listen='127.0.0.1'/>",
    "socket": "<graphics type='vnc'><listen type='socket'/></graphics>",
    "password": f"<graphics type='vnc' {AUTO} passwd='{SECRET}'/>",
    "stopped": f"<graphics type='vnc' {AUTO}/>",
}
"""What each kind has for a screen; ``stopped`` is defined and left switched off."""

DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file={image}/>
      <target dev='hda' bus='ide'/>
    </disk>
    {graphics}
    <video><model type='vga'/></video>
  </devices>
</domain>
"""


def virsh(*words: str) -> str:
    """Return what virsh prints; SystemExit with its words if it fails."""
    done = subprocess.run(["virsh", "--quiet", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"virsh {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def define(name: str, kind: str) -> None:
    """Define a domain, with a disk that shows its name and its colour."""
    image = IMAGES / f"{name}.img"
    image.write_bytes(guest_image.image(guest_image.BOOT_SECTOR.read_bytes(), name))
    xml = DOMAIN.format(name=escape(name), image=quoteattr(str(image)), graphics=KINDS[kind])
    with tempfile.NamedTemporaryFile("w", suffix=".xml", encoding="utf-8") as file:
        file.write(xml)
        file.flush()
        virsh("define", file.name)


def main(text: str) -> None:
    """Do what the mapping says."""
    for name, kind in json.loads(text).items():
        if name not in virsh("list", "--all", "--name").splitlines():
            define(name, kind)
        if kind != "stopped" and virsh("domstate", name).strip() != "running":
            virsh("start", name)
            print(name)


if __name__ == "__main__":
    main(sys.argv[1])
