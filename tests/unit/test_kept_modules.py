"""Runs of the tests lend each other packed modules, and never one of other sources."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

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


def said_is_kept() -> list[Path]:
    """Return the directories in which it is kept, packed."""
    return [path.parent for path in (CACHE / "modules").glob("*/*.said-*")]


def test_a_module_whose_imports_have_changed_is_packed_anew(tmp_path: Path) -> None:
    plugins = tmp_path / "ansible_collections" / "novnc" / "fleet" / "plugins"
    for part in ("modules", "module_utils"):
        (plugins / part).mkdir(parents=True)
    (plugins / "modules" / "said.py").write_text(MODULE)
    word = plugins / "module_utils" / "word.py"
    word.write_text("WORD = 'one'\n")
    assert [said(tmp_path), said(tmp_path)] == ["one", "one"]
    assert said_is_kept(), "no packed module was kept"

    word.write_text("WORD = 'two'\n")
    assert said(tmp_path) == "two"
    for path in said_is_kept():
        shutil.rmtree(path)
