"""Names in documents that nothing has: commands, playbooks, variables, modules, files, targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.harness.docs import ROLES, playbooks, specification
from tests.harness.manual import Block
from tests.harness.project import ROOT

PROGRAMS = {
    *("ansible", "ansible-doc", "ansible-galaxy", "ansible-playbook", "cd", "chmod", "chown"),
    *("curl", "docker", "dpkg-query", "export", "getent", "git", "groupadd", "grep", "haproxy"),
    *("install", "ip", "useradd"),
    *("journalctl", "make", "nginx", "novnc-console", "openssl", "pip", "python3", "readlink"),
    *("sleep", "ss", "ssh", "stat", "systemctl", "systemd-analyze", "tail", "virsh", "docker/run"),
}
"""What a command in the documents may begin with, beside scripts of the clone."""

OTHERS = {
    *("novnc_hypervisors", "novnc_gateways"),  # groups
    *("novnc_fleet_session", "novnc_directory", "novnc_console_command"),  # a cookie, packages
    "novnc_",  # how metrics begin, and some of them
    *("novnc_gateway_endpoint_silent", "novnc_gateway_certificate_days_left"),
}
"""Names that look like variables."""

UNITS = {"nginx", "haproxy", "libvirtd", "virtqemud", "qemu-vm@"}
"""Units of others."""

SUBCOMMANDS = ("list", "sessions", "kill", "doctor")
"""Of ``novnc-console``."""

_VARIABLE = re.compile(r"(?<![\w./-])(?:novnc|websockify)_\w*")
_FULL_NAME = re.compile(r"\bnovnc\.fleet\.(\w+)")
_MADE = re.compile(r"\bmake (?:-s )?([a-z][a-z-]*)")
_CODE = re.compile(r"`([^`\n]+)`")
_UNIT = re.compile(r"(?<![\w/.-])(novnc-[a-z]+@?)[\w%*]*(?:\.(?:service|socket|target))")
_ELSEWHERE = re.compile(r"[<*…%{}]|NAME|/mine\b|PART")


@cache
def variables() -> set[str]:
    """Return every variable that people may set."""
    found = {name for role in ROLES for name in specification(role)["options"]}
    for own in playbooks().values():
        for names in own:
            first, *more = names.split(", ")
            found |= {first, *(f"{first.rpartition('_')[0]}{one}" for one in more)}
    return found


@cache
def full_names() -> set[str]:
    """Return what can stand behind ``novnc.fleet.``."""
    plugins = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    filters = {path.stem for path in (ROOT / "plugins" / "filter").glob("*.yml")}
    return plugins | filters | set(ROLES) | {path.stem for path in _playbooks()}


@cache
def targets() -> set[str]:
    """Return what can be made."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def units() -> set[str]:
    """Return the units that there are, templates with their ``@``."""
    templates = (ROOT / "roles").glob("*/templates/novnc-*.j2")
    return {re.sub(r"(@|)\..*", r"\1", path.name) for path in templates} | UNITS


def _playbooks() -> list[Path]:
    return list((ROOT / "playbooks").glob("*.yml"))


def _unit(word: str) -> str:
    """Return a unit as `units` has it: without its type, and without what stands behind ``@``."""
    name, at, _ = word.partition("@")
    return f"{name}@" if at else name.partition(".")[0]


def text_faults(text: str) -> Iterator[str]:
    """Yield which names in a page's text nothing has."""
    for name in sorted(set(_VARIABLE.findall(text)) - variables() - OTHERS - set(ROLES)):
        yield f"{name} is no variable"
    for name in sorted(set(_FULL_NAME.findall(text)) - full_names()):
        yield f"novnc.fleet.{name} is no module, filter, role or playbook"
    for unit in sorted(set(_UNIT.findall(text)) - units()):
        yield f"{unit} is no unit"
    for code in sorted(set(_CODE.findall(text))):
        yield from (
            f"'make {name}' makes nothing" for name in _MADE.findall(code) if name not in targets()
        )
        for word in code.split():
            yield from _path_faults(word)


def _path_faults(word: str) -> Iterator[str]:
    path = word.strip("'\"(),;:").partition("#")[0]
    first = path.partition("/")[0]
    if "/" not in path or _ELSEWHERE.search(path) or not (ROOT / first).is_dir() or not first:
        return
    if first.startswith(".") or (ROOT / path).exists():
        return
    yield f"{path} is not there"


def command_faults(block: Block) -> Iterator[str]:
    """Yield what is wrong with the commands of a block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        if words:
            yield from (f"{block.where}: {fault}" for fault in _line_faults(*words))


def _line_faults(program: str, *words: str) -> Iterator[str]:
    program = program.removeprefix(".venv/bin/")
    plain = [word for word in words if not word.startswith("-") and "=" not in word]
    if program not in PROGRAMS and not (ROOT / program).is_file():
        yield f"{program} is no command that we know"
    if program == "make":
        yield from (f"'make {one}' makes nothing" for one in plain if one not in targets())
    if program == "novnc-console" and words and words[0] not in SUBCOMMANDS:
        yield f"novnc-console has no '{words[0]}'"
    if program == "systemctl":
        asked = {_unit(word) for word in plain[1:]}
        yield from (f"{one} is no unit" for one in sorted(asked - units()))
    for word in words:
        yield from _path_faults(word)
