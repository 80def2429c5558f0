"""Releases: fetched once and checked on the controller; known for what they are on hosts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.programs import (
    PROGRAMS,
    ReleaseError,
    release_files,
)
from ansible_collections.novnc.fleet.plugins.modules.package_info import upstream
from ansible_collections.novnc.fleet.plugins.plugin_utils.release import (
    FetchError,
    fetch,
    from_pip,
    from_url,
    shown_url,
)

CONTENT = b"a release"
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()

NOVNC = {
    "noVNC-1.6.0/vnc.html": b"",
    "noVNC-1.6.0/app/ui.js": b"",
    "noVNC-1.6.0/core/rfb.js": b"",
    "noVNC-1.6.0/tests/x.js": b"",
    "noVNC-1.6.0/package.json": json.dumps({"version": "1.6.0"}).encode(),
}
WEBSOCKIFY = {
    "websockify/websocketproxy.py": b"",
    "websockify/auth_plugins.py": b"",
    "websockify-0.13.0.dist-info/METADATA": b"Metadata-Version: 2.1\nVersion: 0.13.0\n",
}


def putter(content: bytes) -> Callable[[Path], None]:
    """Return what fetches a content."""

    def get(path: Path) -> None:
        path.write_bytes(content)

    return get


def test_a_release_is_fetched_once(tmp_path: Path) -> None:
    fetched = []

    def get(path: Path) -> None:
        fetched.append(path)
        path.write_bytes(CONTENT)

    for _ in range(2):
        assert fetch(tmp_path / "cache", CHECKSUM, "x", get).read_bytes() == CONTENT
    assert len(fetched) == 1


def test_what_is_damaged_in_the_cache_is_fetched_again(tmp_path: Path) -> None:
    path = fetch(tmp_path, CHECKSUM, "x", putter(CONTENT))
    path.write_bytes(b"other")
    again = fetch(tmp_path, CHECKSUM, "x", putter(CONTENT))
    assert again.read_bytes() == CONTENT


def test_another_release_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="x is not what was asked for"):
        fetch(tmp_path, CHECKSUM, "x", putter(b"other"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", ["", "md5:abc", "sha256:xyz", CHECKSUM.upper()])
def test_what_is_no_checksum_is_said(tmp_path: Path, bad: str) -> None:
    with pytest.raises(FetchError, match="is no checksum"):
        fetch(tmp_path, bad, "x", lambda path: None)


def test_a_message_has_no_secret() -> None:
    assert shown_url("https://me:secret@host:1/a?token=secret#secret") == "https://host:1/a"


@pytest.mark.parametrize("url", ["ftp://x/y", "/srv/x", "x", "https://[bad"])
def test_what_is_no_url_is_said(url: str) -> None:
    with pytest.raises(FetchError, match="URL of a release"):
        from_url(url)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    get = from_url(f"file://{tmp_path}/a%20b")
    with pytest.raises(FetchError, match="a b cannot be read on the controller: No such file"):
        get(tmp_path / "new")


def test_a_pip_that_does_not_work_is_said(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="'false' cannot fetch x==1"):
        from_pip(["false", "--proxy", "secret"], "x==1")(tmp_path / "new")
    with pytest.raises(FetchError, match="neither a URL nor a pip"):
        from_pip([], "x==1")


def test_only_the_page_is_kept_of_novnc() -> None:
    found = release_files(PROGRAMS["novnc"], NOVNC, "1.6.0")
    assert set(found) == {"vnc.html", "app/ui.js", "core/rfb.js", "package.json"}


def test_websockify_gets_its_command() -> None:
    found = release_files(PROGRAMS["websockify"], WEBSOCKIFY, "0.13.0")
    assert set(found) == {*WEBSOCKIFY, "bin/websockify"}


@pytest.mark.parametrize(
    ("name", "files", "version", "words"),
    [
        ("novnc", NOVNC, "1.7.0", "this is noVNC 1.6.0, not 1.7.0"),
        ("novnc", WEBSOCKIFY, "1.6.0", "not all in one folder"),
        ("novnc", {"x/y": b""}, "1.6.0", "it has no vnc.html"),
        ("novnc", {**NOVNC, "noVNC-1.6.0/package.json": b"["}, "1.6.0", "of no version"),
        ("websockify", NOVNC, "0.13.0", "it has no websockify/websocketproxy.py"),
        ("websockify", WEBSOCKIFY, "0.12.0", "this is websockify 0.13.0, not 0.12.0"),
    ],
)
def test_another_program_or_version_is_refused(
    name: str, files: dict[str, bytes], version: str, words: str
) -> None:
    with pytest.raises(ReleaseError, match=words):
        release_files(PROGRAMS[name], files, version)


@pytest.mark.parametrize(
    ("packaged", "version"),
    [
        ("1:1.3.0-1", "1.3.0"),
        ("0.12.0+dfsg1-4+b1", "0.12.0"),
        ("1.6.0~rc1-1", "1.6.0"),
        ("0.13.0", "0.13.0"),
    ],
)
def test_the_makers_version_of_a_package(packaged: str, version: str) -> None:
    assert upstream(packaged) == version
