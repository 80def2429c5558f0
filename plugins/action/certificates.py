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
        requests = [
            Request(f"servers/{name}", "server", (name, *map(str, more)))
            for name, more in self._task.args.get("servers", {}).items()
        ]
        clients = self._task.args.get("clients", [])
        requests += [Request(name, "client", (name,)) for name in map(str, clients)]
        for name in [*self._task.args.get("servers", {}), *map(str, clients)]:
            if "/" in name or name in ("", ".", "..", "ca", "servers"):
                msg = f"{name!r} cannot name a certificate's file; give it another name"
                return {"failed": True, "changed": False, "msg": msg}
        authority = Authority(directory, check=self._task.check_mode)
        try:
            authority.issue(requests)
        except (PkiError, OSError, ValueError) as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        return {"changed": bool(authority.written), "written": authority.written}
