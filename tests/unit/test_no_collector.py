"""Runs of the tests go without Python's collector of garbage."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.harness.project import BIN, ENV

FILTER = """
import gc

class FilterModule:
    def filters(self):
        return {"with_collector": lambda text: f"{text} {gc.isenabled()}"}
"""


def test_workers_have_no_collector(tmp_path: Path) -> None:
    filters = tmp_path / "filter_plugins"
    filters.mkdir()
    (filters / "collector.py").write_text(FILTER)
    play = tmp_path / "play.yml"
    tasks = [{"debug": {"msg": "{{ 'collector:' | with_collector }}"}}]
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    done = subprocess.run(
        [BIN / "ansible-playbook", play], env=ENV, capture_output=True, text=True, check=False
    )
    assert "collector: False" in done.stdout, done.stdout + done.stderr
