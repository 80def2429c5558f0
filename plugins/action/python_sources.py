# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The controller's half of `python_sources`: collects the sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.novnc.fleet.plugins.plugin_utils.sources import sources_of


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module with the sources that belong on the host."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the module's result."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            sources = sources_of(Path(path) for path in arguments["packages"])
        except OSError as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        result: dict[str, Any] = self._execute_module(
            module_name="novnc.fleet.python_sources",
            module_args={**arguments, "sources": sources},
            task_vars=task_vars,
        )
        # Ansible repeats the arguments, which here are whole programs.
        result.pop("invocation", None)
        return result
