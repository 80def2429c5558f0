"""Let Ansible run without Python's collector of cyclic garbage.

Ansible forks a worker for each task of each host, and what the collector walks over in a worker,
the worker first gets a copy of: an eighth of what a run costs the controller. Runs are short, and
what they leave lying about is given back with them.
`tests.harness.project.ENV` has Ansible load this.
"""

from __future__ import annotations

import gc
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: no_collector
type: aggregate
short_description: Let Ansible run without Python's collector of cyclic garbage
description:
  - For the project's own tests.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Switches the collector off."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "no_collector"

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Do so before there is any worker."""
        gc.disable()
