"""Releases of noVNC and websockify in the shape in which upstream publishes them.

Usage: ``python -m tests.harness.releases`` makes all that are missing, and prints
their paths and checksums. They are kept in ``.cache/releases``. noVNC's files
are Debian's: a package is downloaded in a container of a test host's image and
its files are packed anew, to the byte alike for one version of the package.
websockify's wheels are upstream's own.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from tests.harness.project import BIN, CACHE

RELEASES = CACHE / "releases"

SUITES = {"1.3.0": "bookworm", "1.6.0": "trixie"}
"""The versions of noVNC that can be had, and the suite of Debian that has each."""

WHEELS = ("0.12.0", "0.13.0")
"""The versions of websockify that can be had."""

DOWNLOAD = """
exec 3>&1 >&2
cd "$(mktemp -d)"
apt-get -q update
apt-get -q download "novnc=1:$VERSION-*"
dpkg-deb -x ./*.deb files
tar -C files/usr/share -cf - novnc doc/novnc/copyright >&3
"""
"""Leaves the files of the package on standard output, as tar."""

KEPT = {"app", "core", "utils", "vendor", "vnc.html", "vnc_lite.html"}
KEPT |= {"package.json", "defaults.json", "mandatory.json"}
"""What of the package is upstream's, if it is there; the rest is Debian's own."""

STUBS = {
    "README.md": b"# noVNC: HTML VNC client library and application\n",
    "docs/API.md": b"# noVNC API\n",
    "tests/test.rfb.js": b"describe('Remote Frame Buffer protocol client', function () {});\n",
}
"""Stand-ins for what upstream's archive has beside the web content and Debian's package has not."""


def archive(version: str) -> Path:
    """Return the archive ``noVNC-VERSION.tar.gz``, as upstream's releases have it.

    Args:
        version: One of `SUITES`.

    Raises:
        KeyError: There is no such version.
        RuntimeError: Its package cannot be had; the message has the tools' output.
    """
    suite = SUITES[version]
    path = RELEASES / f"noVNC-{version}.tar.gz"
    if not path.exists():
        image = f"novnc-fleet/test-host:{suite}"
        packaged = _output(
            *("docker", "run", "--rm", "--network", "host", "--env", f"VERSION={version}"),
            *(image, "sh", "-euc", DOWNLOAD),
        )
        files = {**STUBS, "package.json": _package_json(version), **_upstream_files(packaged)}
        with _written(path) as temporary:
            temporary.write_bytes(_pack(f"noVNC-{version}", files))
    return path


def wheel(version: str) -> Path:
    """Return websockify's wheel.

    Args:
        version: One of `WHEELS`.

    Raises:
        ValueError: There is no such version.
        RuntimeError: It cannot be had; the message has pip's output.
    """
    if version not in WHEELS:
        raise ValueError(f"websockify {version!r} is not among {WHEELS}")
    path = RELEASES / f"websockify-{version}-py3-none-any.whl"
    if not path.exists():
        with _written(path) as temporary:
            directory = temporary.parent
            _output(
                *(str(BIN / "python"), "-m", "pip", "--disable-pip-version-check", "download"),
                *("--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(directory)),
                f"websockify=={version}",
            )
            (directory / path.name).replace(temporary)
    return path


def checksum(path: Path) -> str:
    """Return a file's checksum in the notation of Ansible's get_url, ``sha256:…``."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _output(*command: str) -> bytes:
    """Return what a command prints; RuntimeError with its messages if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"'{' '.join(command)}' failed:\n{done.stderr.decode()}")
    return done.stdout


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield a path in a directory of its own; the file written there becomes ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        temporary = Path(directory, "made")
        yield temporary
        temporary.replace(path)


def _package_json(version: str) -> bytes:
    """Return the part of upstream's package.json that tells the version."""
    return json.dumps({"name": "@novnc/novnc", "version": version}, indent=2).encode() + b"\n"


def _upstream_files(packaged: bytes) -> dict[str, bytes]:
    """Return the files of Debian's package that are upstream's, by their paths there."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packaged)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:  # a directory, or the link that Debian adds
                continue
            path = PurePosixPath(member.name)
            if path.name == "copyright":
                found["LICENSE.txt"] = content.read()
            elif path.parts[1] in KEPT:
                found[str(path.relative_to("novnc"))] = content.read()
    return found


def _pack(top: str, files: dict[str, bytes]) -> bytes:
    """Return a tar.gz with the files below one directory, alike for alike files."""
    directories = {str(parent) for path in files for parent in PurePosixPath(top, path).parents}
    members = {**dict.fromkeys(directories - {"."}), **{f"{top}/{p}": files[p] for p in files}}
    packed = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, content in sorted(members.items()):
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


if __name__ == "__main__":
    for release in (*map(archive, SUITES), *map(wheel, WHEELS)):
        print(release, checksum(release))
