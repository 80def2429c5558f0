# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The programs that are installed from releases: what a release must hold, and what is kept.

Pure; `trees` writes what comes out of here.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

VERSION = re.compile(r"[0-9][A-Za-z0-9.+_-]{0,40}\Z")
"""Versions that may name a directory."""


class ReleaseError(Exception):
    """Why a release cannot be installed; a sentence that names it."""


@dataclass(frozen=True)
class Program:
    """One program.

    Attributes:
        title: Its name as its makers write it.
        root: The directory of its versions on a host.
        required: Files without which it is not that program.
        kept: Files, and folders with a slash, that go onto the host; empty for all.
        added: Files that are made for it, by path.
        version_of: Returns the version that a release says it is, empty if it does not.
        top: Whether the release has all in one folder, named after its version.
        imports: Modules that must be importable from it; empty if it is no Python.
    """

    title: str
    root: str
    required: tuple[str, ...]
    version_of: Callable[[Mapping[str, bytes]], str]
    kept: tuple[str, ...] = ()
    added: Mapping[str, bytes] | None = None
    top: bool = False
    imports: tuple[str, ...] = ()


def _package_version(files: Mapping[str, bytes]) -> str:
    try:
        return str(json.loads(files["package.json"])["version"])
    except (KeyError, TypeError, ValueError):
        return ""


def _wheel_version(files: Mapping[str, bytes]) -> str:
    for path, content in files.items():
        if path.endswith(".dist-info/METADATA"):
            found = re.search(rb"^Version: *(\S+)", content, re.MULTILINE)
            return found[1].decode(errors="replace") if found else ""
    return ""


_COMMAND = b'''\
#!/usr/bin/python3 -I
"""websockify's command, of the version beside this file."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

from websockify.websocketproxy import websockify_init

websockify_init()
'''

PROGRAMS = {
    "novnc": Program(
        title="noVNC",
        root="/opt/novnc",
        # 1.2 and older have no app/ui.js as a module; consoles want 1.3.
        required=("vnc.html", "app/ui.js", "core/rfb.js", "package.json"),
        # What a browser asks for. Tests, tools and documents have no place on a web server.
        kept=(
            *("app/", "core/", "vendor/", "vnc.html", "vnc_lite.html", "package.json"),
            *("defaults.json", "mandatory.json", "LICENSE.txt"),
        ),
        version_of=_package_version,
        top=True,
    ),
    "websockify": Program(
        title="websockify",
        root="/opt/websockify",
        required=("websockify/websocketproxy.py", "websockify/auth_plugins.py"),
        added={"bin/websockify": _COMMAND},
        version_of=_wheel_version,
        imports=("websockify.websocketproxy", "websockify.auth_plugins"),
    ),
}


def release_files(program: Program, files: Mapping[str, bytes], version: str) -> dict[str, bytes]:
    """Return what a release puts onto a host, by path.

    Args:
        program: What it should be.
        files: What its archive holds.
        version: The version that it should be.

    Raises:
        ReleaseError: if it is another program or another version.
    """
    if program.top:
        tops = {path.split("/", 1)[0] for path in files}
        if len(tops) != 1 or any("/" not in path for path in files):
            raise ReleaseError(f"this is not {program.title}: it is not all in one folder")
        files = {path.split("/", 1)[1]: content for path, content in files.items()}
    for path in program.required:
        if path not in files:
            raise ReleaseError(f"this is not {program.title}, or too old: it has no {path}")
    found = program.version_of(files)
    if found != version:
        raise ReleaseError(f"this is {program.title} {found or 'of no version'}, not {version}")
    kept = {
        path: content
        for path, content in files.items()
        if not program.kept or path.startswith(program.kept)
    }
    return {**kept, **(program.added or {})}


def is_executable(path: str) -> bool:
    """Tell whether a file of a release is a command."""
    return posixpath.dirname(path) == "bin"
