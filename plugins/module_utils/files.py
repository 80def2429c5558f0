# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Files and links on a host: read as data, replaced at once, or not at all."""

from __future__ import annotations

import glob
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ansible_collections.novnc.fleet.plugins.module_utils.units import File, Link


def read_entry(path: str) -> File | Link | None:
    """Return what stands at a path, or None if nothing does."""
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            return Link(os.readlink(path))
        # A file of another owner is never equal to what is wanted, so it is written anew.
        mode = stat.S_IMODE(info.st_mode) if info.st_uid == info.st_gid == 0 else 0o7777
        with open(path, encoding="utf-8", errors="replace") as file:
            return File(file.read(), mode)
    except FileNotFoundError:
        return None


def write_entry(path: str, entry: File | Link) -> None:
    """Put a file or link in its place at once: nobody ever sees half of it."""
    if isinstance(entry, File):
        write_file(path, entry.content.encode(), entry.mode)
        return
    with _replacing(path) as temporary:
        os.symlink(entry.to, temporary)


def write_file(
    path: str, content: bytes, mode: int, *, owner: tuple[int, int] | None = None
) -> None:
    """Put a file in its place at once, with its permission bits.

    Args:
        path: Where it is to be; directories above it are made.
        content: What is to stand in it.
        mode: Its permission bits.
        owner: Numbers of the user and the group it is to belong to; by default, who runs this.
    """
    with _replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


@contextmanager
def _replacing(path: str) -> Iterator[str]:
    """Yield a path beside another, which it replaces at the end."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o755, exist_ok=True)
    workplace = tempfile.mkdtemp(dir=directory, prefix=".novnc-")
    temporary = os.path.join(workplace, "new")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.rmdir(workplace)


def clear_workplaces(patterns: Iterable[str]) -> None:
    """Remove what a run that died left of `write_entry` beside paths of these globs."""
    for path in {os.path.dirname(pattern) for pattern in patterns}:
        for workplace in glob.glob(os.path.join(path, ".novnc-*")):
            for name in os.listdir(workplace):
                os.unlink(os.path.join(workplace, name))
            os.rmdir(workplace)


def remove_entry(path: str) -> None:
    """Remove a file or link, and its drop-in directory once that is empty."""
    os.unlink(path)
    directory = os.path.dirname(path)
    if directory.endswith(".d") and not os.listdir(directory):
        os.rmdir(directory)
