#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Make files and directories on a host be as they are given, all in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Make a set of files on a host be as given
version_added: 0.1.0
description:
  - Makes directories, writes files and removes what is not to be there, in this order and in one
    call, where a task for each would take a second for each on every host and in every run.
  - Each file is put in its place at once; nobody sees half of it. Their owner is root.
options:
  directories:
    description: Absolute paths of directories, in the order in which they are made; mode 0755.
    type: list
    elements: path
    default: []
  files:
    description: The files.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path; directories above it are made.
        type: path
        required: true
      content:
        description: Text of the file, unless it is among O(secrets).
        type: str
      group:
        description: Name of the group that the file belongs to.
        type: str
        default: root
      mode:
        description: Permission bits, as octal digits.
        type: str
        default: "0644"
  secrets:
    description:
      - Texts that appear in no output, difference or log, by the path of their file, which is among
        O(files).
    type: dict
    default: {}
  absent:
    description:
      - Absolute paths of files, links, or directories with all they hold, that are not to be there.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
    description: Tells what a real run would do and does nothing.
  diff_mode:
    support: full
    description: Shows each file before and after, but for what is secret.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: Install the units
  novnc.fleet.host_files:
    directories: [/etc/novnc-fleet]
    files:
      - path: /etc/systemd/system/novnc-directory.socket
        content: "{{ lookup('ansible.builtin.template', 'novnc-directory.socket.j2') }}"
      - path: /etc/novnc-fleet/tls.key
        mode: "0600"
    secrets:
      /etc/novnc-fleet/tls.key: "{{ lookup('ansible.builtin.file', 'tls.key', rstrip=false) }}"
    absent: [/etc/novnc-fleet/old.json]
"""

RETURN = r"""
written:
  description: The directories and files that were made or changed, or would be.
  returned: always
  type: list
  elements: str
removed:
  description: The paths that were removed, or would be.
  returned: always
  type: list
  elements: str
"""

import grp
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.files import write_file

_DIRECTORY_MODE = 0o755
_OWNER = 0
"""Root, to whom all of it belongs, directories with their group."""
_NOT_YET_MADE = -1
"""Stands for a group that an earlier task would have made, if it were not for --check."""


class QuietModule(AnsibleModule):  # type: ignore[misc]
    """Does not write its arguments, which are whole files, into the host's journal."""

    def _log_invocation(self) -> None:
        pass


class RefusedError(Exception):
    """What is asked for cannot be made; the message says what and why."""


@dataclass(frozen=True)
class Wanted:
    """A file as it is to be: its place, content, permission bits and group."""

    path: str
    content: bytes
    mode: int
    gid: int
    secret: bool


@dataclass(frozen=True)
class Present:
    """A file as it is."""

    content: bytes
    mode: int
    uid: int
    gid: int


def read(path: str) -> Present | None:
    """Return the file at a path; None if there is none, or a link. Raises RefusedError."""
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(info.st_mode):
        return None
    if not stat.S_ISREG(info.st_mode):
        raise RefusedError(f"{path} is there and is no file; move it out of the way")
    with open(path, "rb") as file:
        return Present(file.read(), stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)


def wanted_of(given: dict[str, Any], secrets: dict[str, str], *, check_mode: bool) -> Wanted:
    """Return what one entry of the files asks for. Raises RefusedError."""
    path, mode, group = given["path"], given["mode"], given["group"]
    if not re.fullmatch(r"0?[0-7]{3}", mode):
        raise RefusedError(f"{path}: mode '{mode}' is not three octal digits, such as '0644'")
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        if not check_mode:
            raise RefusedError(f"{path}: there is no group '{group}' on this host") from None
        gid = _NOT_YET_MADE
    secret = path in secrets
    if secret == (given["content"] is not None):
        raise RefusedError(f"{path}: its text belongs into 'content' or among the secrets")
    text = secrets[path] if secret else given["content"]
    return Wanted(path, text.encode(), int(mode, 8), gid, secret)


def is_made(directory: str) -> bool:
    """Tell whether a directory is as it is to be; a link to one is one. Raises RefusedError."""
    try:
        info = os.stat(directory)
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(info.st_mode):
        raise RefusedError(f"{directory} is there and is no directory; move it out of the way")
    return (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (
        _DIRECTORY_MODE,
        _OWNER,
        _OWNER,
    )


def make(directory: str) -> None:
    """Make a directory, whatever is above it too."""
    os.makedirs(directory, mode=_DIRECTORY_MODE, exist_ok=True)
    os.chown(directory, _OWNER, _OWNER)
    os.chmod(directory, _DIRECTORY_MODE)


def remove(path: str) -> None:
    """Remove a file, a link, or a directory with all it holds; it may have gone meanwhile."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)


def shown(file: Wanted, present: Present | None) -> dict[str, str]:
    """Return a file's change in the form that ``--diff`` prints."""
    header = f"{file.path} (mode {file.mode:04o})"
    if file.secret:
        return {"prepared": f"{header}: secret\n"}
    if present and present.content == file.content:
        was = f"mode {present.mode:04o}, owner {present.uid}, group {present.gid}"
        return {"prepared": f"{header}: had {was}\n"}
    before = present.content.decode(errors="replace") if present else ""
    old = f"{file.path} (mode {present.mode:04o})" if present else file.path
    return {
        "before_header": old,
        "after_header": header,
        "before": before,
        "after": file.content.decode(),
    }


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Have what the system refuses say which of the paths it was about. Raises RefusedError."""
    try:
        yield
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from None


def run(module: AnsibleModule) -> dict[str, Any]:
    """Make it so, unless in check mode. Raises RefusedError, and OSError where it cannot look."""
    asked = module.params
    for path in [*asked["directories"], *(one["path"] for one in asked["files"]), *asked["absent"]]:
        if not os.path.isabs(path):
            raise RefusedError(f"'{path}' is no absolute path")
    for path in set(asked["secrets"]) - {one["path"] for one in asked["files"]}:
        raise RefusedError(f"{path} is among the secrets, but not among the files")
    files = [
        wanted_of(given, asked["secrets"], check_mode=module.check_mode) for given in asked["files"]
    ]
    present = {file.path: read(file.path) for file in files}
    directories = [path for path in asked["directories"] if not is_made(path)]
    changed = [
        file
        for file in files
        if present[file.path] != Present(file.content, file.mode, _OWNER, file.gid)
    ]
    removed = [path for path in asked["absent"] if os.path.lexists(path)]
    if not module.check_mode:
        for path in directories:
            with naming(path):
                make(path)
        for file in changed:
            with naming(file.path):
                write_file(file.path, file.content, file.mode, owner=(_OWNER, file.gid))
        for path in removed:
            with naming(path):
                remove(path)
    written = directories + [file.path for file in changed]
    return {
        "changed": bool(written or removed),
        "written": written,
        "removed": removed,
        "diff": [
            *({"prepared": f"{path} (directory)\n"} for path in directories),
            *(shown(file, present[file.path]) for file in changed),
            *({"prepared": f"{path}: removed\n"} for path in removed),
        ],
    }


def main() -> None:
    """Run the module."""
    paths = {"type": "list", "elements": "path", "default": []}
    module = QuietModule(
        argument_spec={
            "directories": paths,
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "path", "required": True},
                    "content": {"type": "str"},
                    "group": {"type": "str", "default": "root"},
                    "mode": {"type": "str", "default": "0644"},
                },
            },
            # One of its own: of a key within `files`, the host's journal would get the text.
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "absent": paths,
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except RefusedError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    else:
        module.exit_json(**result)


if __name__ == "__main__":
    main()
