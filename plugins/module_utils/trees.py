# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Versions of a program side by side below one directory, and the switch between them.

``/opt/novnc/1.7.0`` is a version, ``/opt/novnc/current`` a link to the one in force and
``/opt/novnc/.1.7.0.json`` its record: what it was made from, and each file's hash. Versions
without a record are somebody else's and are left alone.
"""

from __future__ import annotations

import glob
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
from ansible_collections.novnc.fleet.plugins.module_utils.tree_files import (
    READABLE,
    fingerprint,
    open_to_all,
    repair_tree,
    write_tree,
)
from ansible_collections.novnc.fleet.plugins.module_utils.units import File, Link

WORKPLACE = ".new-"


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
        try:
            return bool(
                record.get("checksum") == checksum
                and record["files"] == fingerprint(self.path(version))
            )
        except OSError:
            return False

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

        A version that somebody has changed by hand is made good in place, file by file, so that
        those who look at it can go on.

        Args:
            version: Its name.
            files: Its files by path.
            checksum: That of the release they come from.
            check: Called with the tree's path, before a new one gets its name; what it raises
                leaves everything as it was.

        Raises:
            OSError: if the disk is full or the like; nothing has changed then.
            TreeError: if something else has that name: not ours, or in force from another release.
        """
        path = self.path(version)
        if os.path.lexists(path) and not os.path.exists(self._record(version)):
            raise TreeError(f"{path} is there and nobody here has made it; move it away")
        there = os.path.isdir(path)
        if there and self._read_record(version).get("checksum") == checksum:
            repair_tree(path, files)
            check(path)
            open_to_all(path)
            return
        if there and (version == self.current() or self._is_used(version)):
            raise TreeError(
                f"{path} is in use and was made from another release; a second one of the same"
                " version cannot be tried beside it, so switch to another version first"
            )
        made = not os.path.isdir(self.root)
        os.makedirs(self.root, exist_ok=True)
        os.chmod(self.root, READABLE)
        self.clear_workplaces()
        workplace = tempfile.mkdtemp(dir=self.root, prefix=WORKPLACE)
        try:
            tree = os.path.join(workplace, "tree")
            write_tree(tree, files)
            check(tree)
            open_to_all(tree)
            # The record comes first: without its tree it only means that there is work to do.
            record = {"checksum": checksum, "files": fingerprint(tree)}
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
        if os.path.lexists(self.link) and self.current() not in self.versions():
            raise TreeError(f"{self.link} is not what was made here; move it away")
        write_entry(self.link, Link(version))

    def surplus(self, keep: int, wanted: str) -> list[str]:
        """Return versions that may go once another is in force.

        Args:
            keep: How many old ones stay, the one that is in force now before all others.
            wanted: The version that will be in force.
        """
        others = [version for version in self.versions() if version != wanted]
        others.sort(key=lambda version: version != self.current())
        return [version for version in others[keep:] if not self._is_used(version)]

    def _is_used(self, version: str) -> bool:
        """Tell whether a process has a version as its working directory, as consoles have noVNC.

        Where not even root may look, as in some containers, each is taken to be.
        """
        path = os.path.realpath(self.path(version))
        for link in glob.glob("/proc/[0-9]*/cwd"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                try:
                    if os.readlink(link) == path:
                        return True
                except PermissionError:
                    return True
        return False

    def remove(self, version: str) -> None:
        """Remove a version, its record last, so that a run that dies is made good."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path(version))
        os.unlink(self._record(version))

    def remove_all(self) -> None:
        """Remove every version with a record, and the directory if nothing else is in it."""
        self.clear_workplaces()
        if self.current() in self.versions():
            os.unlink(self.link)
        for version in self.versions():
            self.remove(version)
        if os.path.isdir(self.root) and not os.listdir(self.root):
            os.rmdir(self.root)
