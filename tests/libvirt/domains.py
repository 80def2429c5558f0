"""Domains of libvirt's for the tests beside this file."""

from __future__ import annotations

import shlex
from typing import Any

DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  {uuid}
  {title}
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    {disk}
    {graphics}
    <video><model type='vga'/></video>
  </devices>
</domain>
"""

DISK = """\
<disk type='file' device='disk'>
  <driver name='qemu' type='raw'/>
  <source file='{image}'/>
  <target dev='hda' bus='ide'/>
</disk>
"""


def define(
    host: Any,
    name: str,
    graphics: str,
    *,
    title: str = "",
    uuid: str = "",
    verb: str = "define",
) -> None:
    """Define a domain that runs the test guest.

    Args:
        host: The hypervisor.
        name: Of the domain.
        graphics: Its ``<graphics>``.
        title: Its ``<title>``.
        uuid: Its uuid; libvirt makes one up where none is given.
        verb: Of virsh; ``create`` starts it and forgets it when it ends.
    """
    image = f"/var/lib/libvirt/images/{name}.img"
    guest = "".join(letter for letter in name if letter.isascii() and letter.isalnum())
    make = f"python3 /usr/local/lib/test-host/guest_image.py {guest} {shlex.quote(image)}"
    host.check_output(make)
    xml = DOMAIN.format(
        name=name,
        graphics=graphics,
        uuid=f"<uuid>{uuid}</uuid>" if uuid else "",
        title=f"<title>{title}</title>" if title else "",
        disk=DISK.format(image=image),
    )
    file = shlex.quote(f"/run/{name}.xml")
    host.check_output(f'cat > {file} <<"END"\n{xml}END\nvirsh {verb} {file}')


def forget(host: Any, name: str) -> None:
    """End a domain, if it runs, and undefine it."""
    host.run(f"virsh destroy {shlex.quote(name)}; virsh undefine {shlex.quote(name)}")
