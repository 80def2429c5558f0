# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Versions of a program side by side below one directory, and the switch between them.

``/opt/novnc/1.7.0`` is a version, ``/opt/novnc/current`` a link to the one in force and
``/opt/novnc/.1.7.0.json`` its record: what it was made from, and each file's hash. Versions
without a record are somebody else's and are left alone.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.files import (
    clear_workplaces,
    read_entry,
    write_entry,
)
from ansible_collections.novnc.fleet.plugins.module_utils.programs import is_executable
from ansible_collections.novnc.fleet.plugins.module_utils.units import File, Link

WORKPLACE = ".new-"

READABLE = 0o755
"""The consoles that serve a version are users without any right."""


class TreeError(Exception):
    """What stands in the way of a version; a sentence with the mend."""


class Trees:
    """The versions of one program.

    Args:
        root: The directory that they are in.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.link = os.path.join(root, "current")

    def path(self, version: str) -> str:
        """Return where a version is or will be."""
        return os.path.join(self.root, version)

    def _record(self, version: str) -> str:
        return os.path.join(self.root, f".{version}.json")

    def current(self) -> str:
        """Return the version in force; empty without one."""
        entry = read_entry(self.link) if os.path.islink(self.link) else None
        return entry.to if isinstance(entry, Link) else ""

    def versions(self) -> list[str]:
        """Return the versions that have a record, the one installed last first."""
        records = glob.glob(os.path.join(glob.escape(self.root), ".*.json"))
        records.sort(key=os.path.getmtime, reverse=True)
        return [os.path.basename(path)[1 : -len(".json")] for path in records]

    def is_whole(self, version: str, checksum: str) -> bool:
        """Tell whether a version is there as it was installed, from the release of a checksum."""
        record = self._read_record(version)
        if record.get("checksum") != checksum:
            return False
        return bool(record["files"] == _hashes(self.path(version)))

    def _read_record(self, version: str) -> dict[str, Any]:
        entry = read_entry(self._record(version))
        try:
            record = json.loads(entry.content) if isinstance(entry, File) else {}
        except ValueError:
            return {}
        return record if isinstance(record, dict) and "files" in record else {}

    def install(
        self,
        version: str,
        files: Mapping[str, bytes],
        checksum: str,
        check: Callable[[str], None],
    ) -> None:
        """Put a version beside the others, whole or not at all.

        Args:
            version: Its name.
            files: Its files by path.
            checksum: That of the release they come from.
            check: Called with the new tree's path before it gets its name; what it raises
                leaves everything as it was.

        Raises:
            OSError: if the disk is full or the like; nothing has changed then.
            TreeError: if something that is not ours has that name.
        """
        path = self.path(version)
        if os.path.lexists(path) and not os.path.exists(self._record(version)):
            raise TreeError(f"{path} is there and nobody here has made it; move it away")
        made = not os.path.isdir(self.root)
        os.makedirs(self.root, exist_ok=True)
        os.chmod(self.root, READABLE)
        self.clear_workplaces()
        workplace = tempfile.mkdtemp(dir=self.root, prefix=WORKPLACE)
        try:
            tree = os.path.join(workplace, "tree")
            _write_tree(tree, files)
            check(tree)
            # The record comes first: without its tree it only means that there is work to do.
            record = {"checksum": checksum, "files": _hashes(tree)}
            write_entry(self._record(version), File(json.dumps(record) + "\n"))
            if os.path.isdir(path):
                os.rename(path, os.path.join(workplace, "old"))
            os.rename(tree, path)
        except BaseException:
            shutil.rmtree(workplace)
            if not os.path.isdir(path) and os.path.exists(self._record(version)):
                os.unlink(self._record(version))
            if made:
                os.rmdir(self.root)
            raise
        shutil.rmtree(workplace)

    def clear_workplaces(self) -> None:
        """Remove what a run that died has left."""
        clear_workplaces([self.link])
        for path in glob.glob(os.path.join(glob.escape(self.root), f"{WORKPLACE}*")):
            shutil.rmtree(path)

    def switch(self, version: str) -> None:
        """Put a version in force, at once. Raises OSError or TreeError."""
        if os.path.lexists(self.link) and not os.path.islink(self.link):
            raise TreeError(f"{self.link} is no link and nobody here has made it; move it away")
        write_entry(self.link, Link(version))

    def surplus(self, keep: int, wanted: str) -> list[str]:
        """Return versions that may go: older ones beyond a number, unless a process uses them."""
        others = [version for version in self.versions() if version != wanted]
        try:
            used = _working_directories()
        except PermissionError:
            return []  # nobody can tell, so all are
        return [version for version in others[keep:] if self.path(version) not in used]

    def remove(self, version: str) -> None:
        """Remove a version, its record last, so that a run that dies is made good."""
        shutil.rmtree(self.path(version), ignore_errors=True)
        os.unlink(self._record(version))

    def remove_all(self) -> None:
        """Remove every version with a record, and the directory if nothing else is in it."""
        self.clear_workplaces()
        if os.path.islink(self.link):
            os.unlink(self.link)
        for version in self.versions():
            self.remove(version)
        if os.path.isdir(self.root) and not os.listdir(self.root):
            os.rmdir(self.root)


def _write_tree(tree: str, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        target = os.path.join(tree, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o755 if is_executable(path) else 0o644)
            os.fsync(file.fileno())
    # mkdtemp and the umask have left the folders to root alone.
    for folder, _, _ in os.walk(tree):
        os.chmod(folder, READABLE)


def _hashes(tree: str) -> dict[str, str]:
    """Return the hash and mode of each file of a tree, except what Python compiles by itself."""
    found = {}
    for folder, folders, names in os.walk(tree):
        if "__pycache__" in folders:
            folders.remove("__pycache__")
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            mode = os.lstat(path).st_mode & 0o7777
            found[os.path.relpath(path, tree)] = f"{mode:04o} {digest}"
    return found


def _working_directories() -> set[str]:
    """Return the working directory of each process; a console's is the noVNC that it serves.

    Raises PermissionError where not even root may look, as in some containers.
    """
    found = set()
    for path in glob.glob("/proc/[0-9]*/cwd"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            found.add(os.readlink(path))
    return found
