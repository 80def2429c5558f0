"""The project's documents, their fenced blocks, and what is to be done with each.

A fence says it behind its language:

``sh``
    A command that is shown. Names in it are checked, it is not run.
``sh run [on HOST] [ends N]``
    Run on the controller, in a clone, or on a host as root; it ends with 0, or with N.
``text prints``
    Lines of what the run before it has printed; ``…`` is anything.
``LANGUAGE file PATH [on HOST]``
    The content of a file, written in the clone or on a host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.harness.project import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
"""What people read about the project as a whole."""

_FENCE = re.compile(r"^```(\S*)[ \t]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        where: Its page and line, for people.
        section: The heading that it stands below.
        language: As its fence says.
        action: ``run``, ``prints``, ``file`` or nothing.
        path: Of a file.
        host: Where it is run or written; empty is the controller.
        ends: The exit status of a run.
        text: What stands in it.
    """

    where: str
    section: str
    language: str
    action: str
    path: str
    host: str
    ends: int
    text: str


def _of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    """Return a page's blocks. Raises ValueError where a fence says what nobody understands."""
    text, found = _of(page), []
    for fence in _FENCE.finditer(text):
        where = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, fence.start()) + 1}"
        above = _HEADING.findall(_without_blocks(text[: fence.start()]))
        words = fence[2].split()
        action, path, host, ends = words.pop(0) if words else "", "", "", 0
        if action == "file" and words:
            path = words.pop(0)
        if words[:1] == ["on"] and action in ("run", "file"):
            host, words = words[1], words[2:]
        if words[:1] == ["ends"] and action == "run":
            ends, words = int(words[1]), words[2:]
        if words or action not in ("", "run", "prints", "file") or (action == "file") != bool(path):
            raise ValueError(
                f"{where}: nobody understands '{fence[2]}'; see tests/harness/manual.py"
            )
        section = above[-1][1] if above else ""
        found.append(Block(where, section, fence[1], action, path, host, ends, fence[3]))
    return found


def _without_blocks(text: str) -> str:
    return _FENCE.sub("", text)


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _without_blocks(_of(page))


def links(page: Path) -> Iterator[str]:
    """Yield the targets of a page's links and pictures."""
    for link in _LINK.finditer(re.sub(r"`[^`\n]*`", "", prose(page))):
        yield link[1]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for _, heading in _HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
        base = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (anchor := f"{base}-{number}" if number else base) in found:
            number += 1
        found.add(anchor)
    return found
