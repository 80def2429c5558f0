# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Release archives, read whole and with suspicion: what is in them, or why it is not believed."""

from __future__ import annotations

import lzma
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MEMBERS_MAX = 20_000
BYTES_MAX = 128 << 20
"""Far more than any release has; an archive that unpacks to more is a trap."""


_UNREADABLE = (
    *(EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    OSError,  # gzip and bz2 raise it for bad data
    *(ValueError, struct.error, OverflowError),  # numbers and names that cannot be
    *(NotImplementedError, RuntimeError),  # another compression, or encrypted
)


class ArchiveError(Exception):
    """Why an archive is not believed; a sentence without the archive's name."""


@dataclass(frozen=True)
class _Member:
    """One member as it stands in the archive; ``link`` names what it stands for."""

    path: str
    content: bytes = b""
    link: str = ""


def read_archive(path: str) -> dict[str, bytes]:
    """Return the files of a tar or zip archive, by path; nothing is written.

    A link within the archive becomes a copy of the file that it points to.

    Args:
        path: where the archive is; compressed as ``tarfile`` and ``zipfile`` know.

    Raises:
        ArchiveError: if it cannot be read whole, or has a member that no release has: a path
            or link that leads out, a device, a path that is there twice.
    """
    try:
        members = list(_zip_members(path) if zipfile.is_zipfile(path) else _tar_members(path))
    except _UNREADABLE as error:
        raise ArchiveError(f"it is truncated, damaged or no archive ({error})") from error
    files: dict[str, bytes] = {}
    for member in members:
        if member.path in files:
            raise ArchiveError(f"{member.path!r} is in it twice")
        files[member.path] = member.content
    links = {member.path for member in members if member.link}
    for member in members:
        if member.link:
            if member.link not in files or member.link in links:
                words = f"the link {member.path!r} points to {member.link!r}, which is no file"
                raise ArchiveError(f"{words} of it")
            files[member.path] = files[member.link]
    return files


def _safe(path: str) -> str:
    """Return a member's path in its plain form. Raises ArchiveError if it leads out."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or not path.isprintable() or "\\" in path:
        raise ArchiveError(f"{path!r} in it leads out of its folder")
    return "/".join(parts)


def _inside(path: str, target: str) -> str:
    """Return where a symbolic link at a path points to. Raises ArchiveError if that is outside."""
    found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith("/") or found == ".." or found.startswith("../"):
        raise ArchiveError(f"the link {path!r} in it points out of its folder, to {target!r}")
    return found


def _bounded(number: int, size: int) -> None:
    if number > MEMBERS_MAX or size > BYTES_MAX:
        limits = f"{MEMBERS_MAX} files or {BYTES_MAX >> 20} MiB"
        raise ArchiveError(f"it unpacks to more than {limits}, so it is no release")


def _tar_members(path: str) -> Iterator[_Member]:
    size = 0
    with tarfile.open(path) as archive:
        for number, info in enumerate(archive):
            size += info.size
            _bounded(number, size)
            name = _safe(info.name)
            if info.isreg():
                file = archive.extractfile(info)
                yield _Member(name, file.read() if file else b"")
            elif info.issym():
                yield _Member(name, link=_inside(name, info.linkname))
            elif info.islnk():
                yield _Member(name, link=_safe(info.linkname))
            elif not info.isdir():
                raise ArchiveError(f"{name!r} in it is neither file, folder nor link")


def _zip_members(path: str) -> Iterator[_Member]:
    size = 0
    with zipfile.ZipFile(path) as archive:
        for number, info in enumerate(archive.infolist()):
            size += info.file_size
            _bounded(number, size)
            name = _safe(info.filename)
            mode = info.external_attr >> 16
            if info.is_dir():
                continue
            if stat.S_ISLNK(mode):
                yield _Member(name, link=_inside(name, archive.read(info).decode()))
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                yield _Member(name, archive.read(info))
            else:
                raise ArchiveError(f"{name!r} in it is neither file, folder nor link")
