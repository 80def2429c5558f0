# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Runs `certificates`, all of it on the controller, by the library that ansible-core brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, PkiError, Request


class ActionModule(ActionBase):  # type: ignore[misc]
    """Makes the certificates; nothing runs on any host."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return which files were written."""
        super().run(tmp, task_vars)
        directory = Path(self._task.args["directory"]).expanduser()
        servers = self._task.args.get("servers", {})
        clients = self._task.args.get("clients", [])
        authority = Authority(directory, check=self._task.check_mode)
        try:
            requests = [
                Request.of("server", str(name), map(str, more)) for name, more in servers.items()
            ]
            requests += [Request.of("client", str(name)) for name in clients]
            authority.issue(requests)
        except (PkiError, OSError, ValueError) as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        return {"changed": bool(authority.written), "written": authority.written}
