"""Releases that cannot work are refused in one clear line, and the host is as it was."""

from __future__ import annotations

import functools
import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.harness.fleet import Console
from tests.harness.releases import archive, checksum, wheel
from tests.upgrade.conftest import NEW, OLD, converge, forget, load, tree

Change = Callable[[dict[str, bytes]], None]

SOME = "sha256:" + "0" * 64
"""A checksum, and nothing's."""


def packed(path: Path, change: Change, *, links: dict[str, str] | None = None) -> Path:
    """Write noVNC 1.6.0's archive with other content; return its path."""
    with tarfile.open(archive("1.6.0")) as tar:
        members = {one.name: tar.extractfile(one) for one in tar if one.isfile()}
        files = {name: content.read() for name, content in members.items() if content}
    change(files)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return path


def wheeled(path: Path, change: Change) -> Path:
    """Write websockify 0.13.0's wheel with other content; return its path."""
    with zipfile.ZipFile(wheel("0.13.0")) as source:
        files = {name: source.read(name) for name in source.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


def nothing(files: dict[str, bytes]) -> None:
    """Change nothing."""


def truncated(path: Path) -> Path:
    content = archive("1.6.0").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def add(name: str, files: dict[str, bytes]) -> None:
    files[name] = b"x"


def remove(name: str, files: dict[str, bytes]) -> None:
    del files[name]


def break_import(files: dict[str, bytes]) -> None:
    files["websockify/websocketproxy.py"] += b"\nimport no_such_module\n"


def break_proxy(files: dict[str, bytes]) -> None:
    """It can be imported, and does not work."""
    files["websockify/websocketproxy.py"] += (
        b"\ndef _broken(self, *args):\n    raise RuntimeError('broken on purpose')\n"
        b"\nWebSocketProxy.start_server = _broken\n"
    )


NOVNC = {
    "truncated": (truncated, "truncated, damaged or no archive"),
    "dots": (
        partial(packed, change=partial(add, "noVNC-1.6.0/../../etc/x")),
        "'noVNC-1.6.0/../../etc/x' in it leads out of its folder",
    ),
    "absolute": (
        partial(packed, change=partial(add, "/etc/novnc-fleet-x")),
        "'/etc/novnc-fleet-x' in it leads out of its folder",
    ),
    "symlink": (
        partial(packed, change=nothing, links={"noVNC-1.6.0/app/x": "../../../../etc/passwd"}),
        "the link 'noVNC-1.6.0/app/x' in it points out of its folder",
    ),
    "not-novnc": (
        partial(packed, change=partial(remove, "noVNC-1.6.0/app/ui.js")),
        "this is not noVNC, or too old: it has no app/ui.js",
    ),
    "other-version": (lambda path: archive("1.3.0"), "this is noVNC 1.3.0, not 1.6.0"),
    "wheel": (lambda path: wheel("0.13.0"), "this is not noVNC"),
}

WEBSOCKIFY = {
    "no-import": (partial(wheeled, change=break_import), "websockify 0.13.0 cannot be imported by"),
    "other-version": (lambda path: wheel("0.12.0"), "this is websockify 0.12.0, not 0.13.0"),
}


@pytest.fixture
def refused(host: Any, find: Callable[[str], Console]) -> Iterator[Callable[..., None]]:
    """Return a function that runs what must be refused, and see afterwards that it was."""
    forget(host, NEW)
    before = tree(host)

    def run(words: str, **variables: Any) -> None:
        done = converge(variables)
        assert done.status == 2, done.output
        assert words in " ".join(done.output.split()), done.output

    yield run
    assert tree(host) == before
    assert load(find("one")) == {OLD["novnc_version"]}


@pytest.mark.parametrize(("make", "words"), NOVNC.values(), ids=NOVNC)
def test_an_archive(
    refused: Callable[..., None], tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    path = make(tmp_path / "release")
    refused(
        words,
        novnc_version="1.6.0",
        novnc_archive_url=f"file://{path}",
        novnc_archive_checksum=checksum(path),
    )


@pytest.mark.parametrize(("make", "words"), WEBSOCKIFY.values(), ids=WEBSOCKIFY)
def test_a_wheel(
    refused: Callable[..., None], tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    path = make(tmp_path / "release")
    refused(
        words,
        websockify_version="0.13.0",
        websockify_wheel_url=f"file://{path}",
        websockify_wheel_checksum=checksum(path),
    )


def test_a_wheel_with_which_no_console_works(
    find: Callable[[str], Console], host: Any, tmp_path: Path
) -> None:
    path = wheeled(tmp_path / "release", break_proxy)
    wanted = {
        "websockify_version": "0.13.0",
        "websockify_wheel_url": f"file://{path}",
        "websockify_wheel_checksum": checksum(path),
    }
    for _ in range(2):  # what has failed once is not taken the next time either
        done = converge({**NEW, **wanted})
        assert done.status == 2, done.output
        words = "a console does not work with /opt/novnc/1.6.0 and /opt/websockify/0.13.0"
        assert words in " ".join(done.output.split())
        assert "broken on purpose" in done.output
        assert host.check_output("readlink /opt/novnc/current /opt/websockify/current").split() == [
            OLD["novnc_version"],
            OLD["websockify_version"],
        ]
        assert load(find("one")) == {OLD["novnc_version"]}
        with find("one").session() as client:
            assert client.info.name == "QEMU (one)"
    forget(host, NEW)


class Quiet(SimpleHTTPRequestHandler):
    """A web server that says nothing."""

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def mirror() -> Iterator[str]:
    """Serve the releases; return the URL."""
    handler = functools.partial(Quiet, directory=str(archive("1.6.0").parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_wrong_checksum(refused: Callable[..., None], mirror: str) -> None:
    url = f"{mirror}/noVNC-1.6.0.tar.gz"
    words = f"{url} is not what was asked for: it has {checksum(archive('1.6.0'))}"
    refused(words, novnc_version="1.6.0", novnc_archive_url=url, novnc_archive_checksum=SOME)


def test_an_url_that_is_not_there(refused: Callable[..., None], mirror: str) -> None:
    url = f"{mirror}/noVNC-9.9.9.tar.gz"
    refused(
        f"{url} answers 404",
        novnc_version="9.9.9",
        novnc_archive_url=url.replace("http://", "http://me:secret@"),
        novnc_archive_checksum=SOME,
    )


def test_an_url_that_nobody_answers(refused: Callable[..., None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}/noVNC-1.6.0.tar.gz"
    refused(
        f"{url} cannot be fetched",
        novnc_version="1.6.0",
        novnc_archive_url=url,
        novnc_archive_checksum=SOME,
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"novnc_version": "1.5.0", "novnc_archive_checksum": ""},
            "novnc_archive_checksum is missing",
        ),
        (
            {"novnc_version": "1.2.0", "novnc_archive_checksum": SOME},
            "novnc_version 1.2.0 is too old for consoles",
        ),
        ({"novnc_archive_checksum": "md5:abc"}, "'md5:abc' is no checksum"),
        (
            {"novnc_archive_url": "ftp://x/y", "novnc_archive_checksum": SOME},
            "'ftp://x/y' is no URL of a release",
        ),
        ({"novnc_install_method": "git"}, "novnc_install_method must be one of: package, archive"),
        ({"websockify_version": "0.9.0"}, "websockify_version 0.9.0 is too old for consoles"),
        (
            {
                "websockify_wheel_url": "",
                "websockify_version": "99.0",
                "websockify_wheel_checksum": SOME,
            },
            "cannot fetch websockify==99.0",
        ),
        (
            {"novnc_settings": {"defaults": {"resize": "scale"}}},
            "novnc_settings is set, and noVNC 1.3.0 does not read it",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_variables(refused: Callable[..., None], variables: dict[str, Any], words: str) -> None:
    refused(words, **variables)


def test_a_full_disk(refused: Callable[..., None], host: Any) -> None:
    # The same content on a disk that has no room for a second version.
    host.check_output(
        "mkdir /run/small && mount -t tmpfs -o size=9m,mode=0755 tmpfs /run/small"
        " && cp -a /opt/. /run/small"
        " && size=$(du -sk /run/small | cut -f 1)"
        " && mount -o remount,size=$((size + 200))k /run/small && mount --bind /run/small /opt"
    )
    try:
        before = host.check_output("find /opt -xdev | sort")
        refused("No space left on device", novnc_version=NEW["novnc_version"])
        assert host.check_output("find /opt -xdev | sort") == before
    finally:
        host.check_output("umount /opt && umount /run/small && rmdir /run/small")
