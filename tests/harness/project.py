"""Where things are, and the environment in which the project's tools run."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
BIN = ROOT / ".venv" / "bin"

ENV = {
    **os.environ,
    # molecule and ansible-lint look for ansible's commands there
    "PATH": f"{BIN}:{os.environ['PATH']}",
    "ANSIBLE_FORCE_COLOR": "0",
    "NO_COLOR": "1",
    # Seconds for a connection to be there: of ten, a busy machine once needed more.
    "ANSIBLE_TIMEOUT": "60",
    "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
}
