# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The files of one version of a program: written, repaired, and told from what they were."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Mapping

from ansible_collections.novnc.fleet.plugins.module_utils.files import write_file
from ansible_collections.novnc.fleet.plugins.module_utils.programs import is_executable

READABLE = 0o755
"""Mode of folders and commands: the consoles that serve a version are users without any right."""

COMPILED = "__pycache__"
"""What Python makes by itself, and so is nobody's change."""


def write_tree(tree: str, files: Mapping[str, bytes]) -> None:
    """Write a version's files to a place where nothing is yet. Raises OSError."""
    for path, content in files.items():
        target = os.path.join(tree, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), _mode(path))
            os.fsync(file.fileno())


def repair_tree(tree: str, files: Mapping[str, bytes]) -> None:
    """Make a version what it should be, file by file, while consoles may be serving it.

    Raises OSError.
    """
    for folder, folders, names in os.walk(tree):
        for name in [*folders, *names]:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, tree)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                if not any(file.startswith(f"{relative}/") for file in files) or name == COMPILED:
                    folders.remove(name)
                    shutil.rmtree(path)
                else:
                    os.chown(path, os.geteuid(), os.getegid())
            elif relative not in files:
                os.unlink(path)
    for path, content in files.items():
        target = os.path.join(tree, path)
        if not _is(target, content, _mode(path)):
            write_file(target, content, _mode(path))


def _mode(path: str) -> int:
    return READABLE if is_executable(path) else 0o644


def _is(path: str, content: bytes, mode: int) -> bool:
    """Tell whether a regular file of our own has this content and mode."""
    try:
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode) or stat.S_IMODE(info.st_mode) != mode:
            return False
        with open(path, "rb") as file:
            return info.st_uid == os.geteuid() and file.read() == content
    except FileNotFoundError:
        return False


def open_to_all(tree: str) -> None:
    """Let every user read the folders and what Python has compiled, whatever the umask was."""
    for folder, _, names in os.walk(tree):
        os.chmod(folder, READABLE)
        if os.path.basename(folder) == COMPILED:
            for name in names:
                os.chmod(os.path.join(folder, name), 0o644)


def fingerprint(tree: str) -> dict[str, str]:
    """Return kind, mode, owner and hash of everything in a tree, by path; compiled files apart.

    What is not there gives nothing. Raises OSError.
    """
    found = {}
    for folder, folders, names in os.walk(tree):
        if COMPILED in folders:
            folders.remove(COMPILED)
        for name in [*folders, *names]:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            words = [stat.filemode(info.st_mode), str(info.st_uid)]
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    words.append(hashlib.sha256(file.read()).hexdigest())
            found[os.path.relpath(path, tree)] = " ".join(words)
    return found
