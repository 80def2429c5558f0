# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The controller's half of `program`: asks the host, and fetches and pushes what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.novnc.fleet.plugins.plugin_utils.release import (
    FetchError,
    default_cache,
    fetch,
    from_pip,
    from_url,
    shown_url,
)

MODULE = "novnc.fleet.program"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Runs the module; a second time, with the release beside it, where the version is missing."""

    TRANSFERS_FILES = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the module's result."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        # The host needs none of these, and Ansible writes all that a module gets into its journal.
        source = {key: arguments.pop(key, None) for key in ("url", "pip", "cache")}
        result = self._module(arguments, task_vars)
        wanted = arguments.get("state", "present") == "present"
        if result.get("failed") or not wanted or result.get("installed"):
            return result
        try:
            release = _release(arguments, **source)
        except FetchError as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        if self._task.check_mode:
            return result
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        directory = self._connection._shell.tmpdir
        archive = self._connection._shell.join_path(directory, "release")
        try:
            self._transfer_file(str(release), archive)
            self._fixup_perms2((directory, archive))
            return self._module({**arguments, "archive": archive}, task_vars)
        finally:
            self._remove_tmp_path(directory)

    def _module(
        self, arguments: dict[str, Any], task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        found: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=arguments, task_vars=task_vars
        )
        return found


def _release(
    arguments: dict[str, Any], url: str | None, pip: list[str] | None, cache: str | None
) -> Path:
    """Return the release on the controller. Raises FetchError."""
    directory = Path(cache or default_cache()).expanduser()
    requirement = f"{arguments['name']}=={arguments['version']}"
    if url:
        return fetch(directory, arguments["checksum"], shown_url(url), from_url(url))
    return fetch(directory, arguments["checksum"], requirement, from_pip(pip or [], requirement))
