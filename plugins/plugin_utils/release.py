# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Releases on the controller: fetched once, checked against their checksum, and kept."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from ansible.module_utils.urls import open_url

_CHECKSUM = re.compile(r"sha256:([0-9a-f]{64})\Z")

TIMEOUT = 20
"""Seconds without progress after which a download is given up."""

PIP_TIMEOUT = 300
"""Seconds that pip may take."""


class FetchError(Exception):
    """Why a release cannot be had; a sentence that names it, with the mend."""


def default_cache() -> Path:
    """Return where releases are kept: below the user's cache directory (XDG)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "novnc-fleet"


def fetch(cache: Path, checksum: str, name: str, get: Callable[[Path], None]) -> Path:
    """Return a release's path in the cache, fetched unless it is there.

    Args:
        cache: The directory of all releases.
        checksum: ``sha256:`` and 64 hexadecimal digits.
        name: What the release is called in messages, without secrets.
        get: Puts the release at a path; raises FetchError.

    Raises:
        FetchError: if it cannot be had, or is another than the checksum says.
    """
    match = _CHECKSUM.match(checksum)
    if match is None:
        words = "write sha256: and its 64 hexadecimal digits, in lower case"
        raise FetchError(f"{name}: {checksum!r} is no checksum; {words}")
    path = cache / match[1]
    try:
        with _locked(cache):
            if path.is_file() and _sha256(path) == match[1]:
                return path
            with tempfile.TemporaryDirectory(dir=cache) as workplace:
                new = Path(workplace) / "release"
                get(new)
                found = _sha256(new)
                if found != match[1]:
                    words = f"it has sha256:{found} and should have {checksum}"
                    raise FetchError(f"{name} is not what was asked for: {words}; not used")
                new.replace(path)
    except OSError as error:
        raise FetchError(f"{name} cannot be kept in {cache}: {error}") from error
    return path


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Hold the cache, so that of many hosts' runs only one fetches."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown_url(url: str) -> str:
    """Return a URL without user, password and query, fit for a message. Raises FetchError."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise FetchError(f"the URL of a release cannot be read: {error}") from error
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def from_url(url: str) -> Callable[[Path], None]:
    """Return what fetches a URL. Raises FetchError if its kind is none that is known."""
    name, scheme = shown_url(url), urlsplit(url).scheme
    if scheme == "file":
        return lambda path: _copy(unquote(urlsplit(url).path), path)
    if scheme not in ("https", "http"):
        raise FetchError(f"'{name}' is no URL of a release; write https://…, http://… or file:///…")

    def get(path: Path) -> None:
        try:
            answer = open_url(url, timeout=TIMEOUT, follow_redirects="all")
            with answer, path.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as error:
            raise FetchError(f"{name} answers {error.code} ({error.reason})") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            words = "give the controller a way to it, or a URL that it reaches"
            raise FetchError(f"{name} cannot be fetched: {reason}; {words}") from error

    return get


def _copy(source: str, path: Path) -> None:
    try:
        shutil.copyfile(source, path)
    except OSError as error:
        raise FetchError(f"{source} cannot be read on the controller: {error.strerror}") from error


def from_pip(pip: Sequence[str], requirement: str) -> Callable[[Path], None]:
    """Return what has pip download a wheel, without what it depends on. Raises FetchError."""
    if not pip:
        raise FetchError(f"{requirement} has neither a URL nor a pip to come by (websockify_pip)")

    def get(path: Path) -> None:
        words = ["download", "--disable-pip-version-check", "--no-input", "--quiet", "--no-deps"]
        words += ["--only-binary", ":all:", "--dest", str(path.parent), requirement]
        try:
            done = subprocess.run(
                [*pip, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PIP_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FetchError(f"'{pip[0]}' cannot fetch {requirement}: {error}") from error
        wheels = list(path.parent.glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            told = done.stderr.strip().rpartition("\n")[2] or "there is no wheel"
            raise FetchError(
                f"'{pip[0]}' cannot fetch {requirement}: {told}; give the controller a pip"
                " that works (websockify_pip), or the wheel itself (websockify_wheel_url)"
            )
        wheels[0].replace(path)

    return get
