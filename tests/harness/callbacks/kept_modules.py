"""Keep the modules that Ansible has packed, for runs to come.

Ansible packs each module with all that it imports, in every run anew: nearly half of what its
workers cost. The suite runs hundreds of playbooks of the same modules, so what one has packed is
lent to the others, as long as Ansible, Python and every module of the collection are the same.
`tests.harness.project.ENV` has Ansible load this.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible import __version__
from ansible import constants as config
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kept_modules
type: aggregate
short_description: Keep the modules that Ansible has packed, for runs to come
description:
  - For the project's own tests.
"""

COLLECTION = "novnc.fleet"
KEPT = Path(__file__).resolve().parents[3] / ".cache" / "modules"
OURS = ("ansible.modules.", f"ansible_collections.{COLLECTION}.plugins.modules.")
"""How the names of modules begin that are known by `state`; others are not kept."""
_PASSING = (".lock", "-part")
"""How the names of files end that Ansible needs while it packs."""
_WEEK = 7 * 24 * 3600.0


def state() -> str:
    """Return what packed modules depend on, as a hash: versions, and the collection's sources."""
    found = hashlib.sha256(f"{__version__} {sys.version}".encode())
    try:
        where = importlib.import_module(f"ansible_collections.{COLLECTION}").__path__
    except ImportError:
        where = []
    for plugins in (Path(path, "plugins") for path in where):
        for path in sorted(plugins.glob("module*/**/*.py")):
            found.update(f"{path.relative_to(plugins)} {path.stat().st_size}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Lends a run what others have packed, and keeps what it has packed itself."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept_modules"

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Lend, before there is any worker; what has not been lent for a week goes."""
        self._kept = KEPT / state()
        self._kept.mkdir(parents=True, exist_ok=True)
        self._kept.touch()
        for other in KEPT.iterdir():
            with suppress(FileNotFoundError):  # another run has removed it
                if time.time() - other.stat().st_mtime > _WEEK:
                    shutil.rmtree(other, ignore_errors=True)
        self._own = Path(config.DEFAULT_LOCAL_TMP, "ansiballz_cache")
        self._own.mkdir(exist_ok=True)
        for path in self._kept.glob("*"):
            if path.name.startswith(OURS):
                shutil.copyfile(path, self._own / path.name)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Keep what is new; whatever runs beside this one sees a whole file or none."""
        if state() != self._kept.name:
            return  # somebody has edited a module meanwhile, so who knows which has been packed
        for path in self._own.iterdir():
            kept = self._kept / path.name
            if (
                path.name.startswith(OURS)
                and not path.name.endswith(_PASSING)
                and not kept.exists()
            ):
                part = self._kept / f".{path.name}.{os.getpid()}"
                shutil.copyfile(path, part)
                part.replace(kept)
