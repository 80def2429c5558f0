"""Release archives: what is in them, and what is not believed."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.archive import (
    ArchiveError,
    read_archive,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def tar(path: Path, *members: tarfile.TarInfo, content: bytes = b"x") -> str:
    """Write a compressed tar archive; return its path."""
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return str(path)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return a member of a tar archive."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_a_tar_archive_is_read(tmp_path: Path) -> None:
    found = read_archive(
        tar(
            tmp_path / "a",
            member("top", tarfile.DIRTYPE),
            member("./top/b"),
            member("top//dir/c"),
            member("top/link", tarfile.SYMTYPE, "dir/../b"),
            member("top/hard", tarfile.LNKTYPE, "top/b"),
        )
    )
    assert found == dict.fromkeys(["top/b", "top/dir/c", "top/link", "top/hard"], b"x")


def test_a_zip_archive_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("package/__init__.py", "x")
        archive.writestr("folder/", "")
    assert read_archive(str(tmp_path / "a")) == {"package/__init__.py": b"x"}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (member("top/../../etc/x"), "leads out of its folder"),
        (member("/etc/x"), "leads out of its folder"),
        (member("top/a\nb"), "leads out of its folder"),
        (member("top/x", tarfile.SYMTYPE, "../../etc/passwd"), "points out of its folder"),
        (member("top/x", tarfile.SYMTYPE, "/etc/passwd"), "points out of its folder"),
        (member("top/x", tarfile.LNKTYPE, "../x"), "leads out of its folder"),
        (member("top/x", tarfile.SYMTYPE, "nothing"), "which is no file of it"),
        (member("top/x", tarfile.SYMTYPE, "x"), "which is no file of it"),
        (member("top/x", tarfile.CHRTYPE), "neither file, folder nor link"),
        (member("top/x", tarfile.FIFOTYPE), "neither file, folder nor link"),
        (member("top/a"), "is in it twice"),
    ],
    ids=lambda value: None if isinstance(value, str) else f"{value.name!r}-{value.linkname}",
)
def test_what_no_release_has_is_refused(tmp_path: Path, bad: tarfile.TarInfo, words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        read_archive(tar(tmp_path / "a", member("top/a"), bad))


def test_a_link_in_a_zip_archive_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("top/x")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr(info, "../../etc/passwd")
    with pytest.raises(ArchiveError, match="points out of its folder"):
        read_archive(str(tmp_path / "a"))


def test_a_trap_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("top/x", bytes(129 << 20))
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        read_archive(str(tmp_path / "a"))


def as_tar(path: Path) -> bytes:
    """Return a good tar archive."""
    return Path(tar(path, member("top/a"), member("top/b"), content=b"y" * 3000)).read_bytes()


def as_zip(path: Path) -> bytes:
    """Return a good zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("top/a", "y" * 3000)
    return path.read_bytes()


@pytest.mark.parametrize("make", [as_tar, as_zip])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_harmless(
    tmp_path: Path, make: Callable[[Path], bytes], data: st.DataObject
) -> None:
    """Whatever bytes come, the reader returns files or raises ArchiveError."""
    content = bytearray(make(tmp_path / "good"))
    length = data.draw(st.integers(0, len(content)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    bad = tmp_path / "bad"
    bad.write_bytes(content[:length])
    try:
        found = read_archive(str(bad))
    except ArchiveError:
        return
    assert all(not path.startswith("/") and ".." not in path.split("/") for path in found)
