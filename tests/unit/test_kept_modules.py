"""Runs of the tests lend each other packed modules, and never one of other sources."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.project import BIN, CACHE, ENV

MODULE = """
from ansible.module_utils.basic import AnsibleModule
from ..module_utils.word import WORD

AnsibleModule(argument_spec={}).exit_json(word=WORD)
"""


def said(collections: Path) -> str:
    """Return the word that a run's module says."""
    play = collections / "play.yml"
    tasks = [{"novnc.fleet.said": None, "register": "said"}, {"debug": {"var": "said.word"}}]
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = subprocess.run(
        [BIN / "ansible-playbook", play],
        env={**ENV, "ANSIBLE_COLLECTIONS_PATH": str(collections)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [word] = re.findall(r'said.word"?: "?(\w+)', done.stdout)
    return str(word)


def kept() -> set[Path]:
    """Return where the module is kept, packed."""
    return set((CACHE / "modules").glob("*/*.said-*"))


def forget() -> None:
    """Keep it no longer."""
    for path in kept():
        shutil.rmtree(path.parent)


@pytest.fixture
def collections(tmp_path: Path) -> Iterator[Path]:
    """Return a place for a collection whose modules are not kept."""
    forget()
    yield tmp_path
    forget()


def test_a_packed_module_is_lent_and_never_one_of_other_sources(collections: Path) -> None:
    plugins = collections / "ansible_collections" / "novnc" / "fleet" / "plugins"
    for part in ("modules", "module_utils"):
        (plugins / part).mkdir(parents=True)
    (plugins / "modules" / "said.py").write_text(MODULE)
    word = plugins / "module_utils" / "word.py"

    word.write_text("WORD = 'one'\n")
    assert said(collections) == "one"
    [one] = kept()
    word.write_text("WORD = 'two'\n")
    assert said(collections) == "two"
    [two] = kept() - {one}

    # What says "two" though its source says "one" can only have been lent.
    shutil.copyfile(two, one)
    word.write_text("WORD = 'one'\n")
    assert said(collections) == "two"
