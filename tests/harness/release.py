"""See whether the collection is fit to be released.

Usage: ``python -m tests.harness.release``. Compares version, CHANGELOG and tag,
builds the collection, looks into the tarball, installs it into an empty directory,
checks that its documentation is complete, and runs it from there, on the demo's
hosts, with nothing of the clone. Every fault is a line; one ends it with 1. A demo
that was not running is removed in the end.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests.harness import demo
from tests.harness.project import BIN, ENV, ROOT
from tests.harness.release_faults import (
    content_faults,
    documentation_faults,
    role_faults,
    version_faults,
)

CLONE = ROOT / "playbooks" / "collections"
"""Where the clone itself can be seen as an installed collection."""
COMMAND = ROOT / "roles" / "novnc_console" / "files" / "novnc_console_command" / "__init__.py"


class BrokenError(Exception):
    """A tool of ours failed; the message ends with what it said."""


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] = ENV) -> str:
    """Return what a program prints. Raises BrokenError with the end of what it said."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join(f"{done.stdout}{done.stderr}".splitlines()[-40:])
        raise BrokenError(f"'{' '.join([Path(words[0]).name, *words[1:]])}' failed:\n{said}")
    return done.stdout


def env_of(collections: Path) -> dict[str, str]:
    """Return the environment in which Ansible knows the collections of a directory alone."""
    return ENV | {"ANSIBLE_COLLECTIONS_PATH": str(collections)}


def build(place: Path, clone: Path = ROOT) -> Path:
    """Return the tarball of the collection, built in an empty directory. Raises BrokenError."""
    run(BIN / "ansible-galaxy", "collection", "build", "--output-path", place, cwd=clone)
    return next(place.glob("novnc-fleet-*.tar.gz"))


def install(tarball: Path, collections: Path) -> None:
    """Install a tarball into a directory, without the network. Raises BrokenError."""
    galaxy: list[str | Path] = [BIN / "ansible-galaxy", "collection", "install", tarball]
    options: list[str | Path] = ["--collections-path", collections, "--offline"]
    env = env_of(collections)
    run(*galaxy, *options, cwd=tarball.parent, env=env)


def files_of(tarball: Path) -> dict[str, bytes]:
    """Return what is in a tarball: each file's content by its path."""
    with tarfile.open(tarball) as archive:
        opened = {one.name: archive.extractfile(one) for one in archive if not one.isdir()}
        return {name: file.read() if file else b"" for name, file in opened.items()}


def versions() -> Iterator[str]:
    """Yield where version, CHANGELOG and tag differ."""
    command = re.search(r'^VERSION = "(.+)"$', COMMAND.read_text(), re.MULTILINE)
    here = run("git", "tag", "--points-at", "HEAD").split()
    yield from version_faults(
        str(yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]),
        changelog=(ROOT / "CHANGELOG.md").read_text(),
        command=command[1] if command else "nothing",
        here=here,
        tags=run("git", "tag").split(),
    )
    if here and (changed := run("git", "status", "--porcelain").splitlines()):
        yield f"the commit is tagged and the clone is not clean: {', '.join(changed)}; commit it"


def content(tarball: Path) -> Iterator[str]:
    """Print what is in the tarball; yield what does not belong there."""
    files = files_of(tarball)
    for name in sorted(files):
        print(f"  {name}")
    yield from content_faults(files, run("git", "ls-files").splitlines())


def documentation(collections: Path) -> Iterator[str]:
    """Yield what ``ansible-doc`` does not tell of a collection's modules, filters and roles."""
    env = env_of(collections)
    where = os.pathsep.join((str(collections), str(ROOT)))
    taken = json.loads(
        run(BIN / "python", "-m", "tests.harness.plugin_options", env=ENV | {"PYTHONPATH": where})
    )

    def told(kind: str, names: list[str]) -> dict[str, Any]:
        """Ask for all at once; where that fails one is not documented, and they are asked alone."""
        full = [f"novnc.fleet.{name}" for name in names]
        command = (BIN / "ansible-doc", "-t", kind, "--json")
        try:
            found: dict[str, Any] = json.loads(run(*command, *full, env=env))
        except BrokenError:
            found = {}
            for name in full:
                with suppress(BrokenError):
                    found |= json.loads(run(*command, name, env=env))
        return found

    for kind, plugins in taken.items():
        yield from documentation_faults(kind, plugins, told(kind, list(plugins)))
    roles = {}
    for role in (collections / "ansible_collections" / "novnc" / "fleet" / "roles").iterdir():
        defaults = role / "defaults" / "main.yml"
        roles[role.name] = yaml.safe_load(defaults.read_text()) if defaults.exists() else {}
    yield from role_faults(roles, told("role", list(roles)))


def syntax(collections: Path, cwd: Path) -> Iterator[str]:
    """Yield which of its playbooks Ansible does not take, by their full names."""
    env = env_of(collections)
    for playbook in sorted((ROOT / "playbooks").glob("*.yml")):
        words = ("-i", "localhost,", f"novnc.fleet.{playbook.stem}", "--syntax-check")
        try:
            run(BIN / "ansible-playbook", *words, cwd=cwd, env=env)
        except BrokenError as error:
            yield str(error)


def on_the_demo(collections: Path, cwd: Path) -> Iterator[str]:
    """Yield why it does not do on the demo's hosts, once and again, what the clone does."""
    env = env_of(collections)
    ready = demo.is_running()
    try:
        if not ready:
            demo.start_hosts()
        for playbook, quiet in (("site", ready), ("site", True), ("check", True)):
            words = ("-i", demo.INVENTORY, f"novnc.fleet.{playbook}")
            said = run(BIN / "ansible-playbook", *words, cwd=cwd, env=env)
            if quiet and re.search(r"changed=[1-9]", said.rpartition("PLAY RECAP")[2]):
                yield f"novnc.fleet.{playbook} changes what is as it should be:\n{said}"
    except BrokenError as error:
        yield str(error)
    finally:
        if not ready:
            demo.down()


def main() -> int:
    """Take all steps, print what is wrong, return the exit status."""
    faults: list[str] = []

    def step(what: str, find: Callable[..., Iterator[str]], *words: Any) -> None:
        print(f"==> {what}", flush=True)
        for fault in find(*words):
            print(f"FAULT  {fault}", flush=True)
            faults.append(fault)

    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        collections = place / "collections"
        try:
            step("Version, CHANGELOG and tag", versions)
            tarball = build(place)
            step(f"What is in {tarball.name}", content, tarball)
            install(tarball, collections)
            step("Its documentation", documentation, collections)
            step("Its playbooks", syntax, collections, place)
            step("The demo, from the installed collection", on_the_demo, collections, place)
        except BrokenError as error:
            faults.append(str(error))
            print(f"FAULT  {error}", flush=True)
    if faults:
        print(f"not fit to be released: {len(faults)} faults, see above")
        return 1
    print(f"{tarball.name} is fit to be released")
    return 0


if __name__ == "__main__":
    sys.exit(main())
