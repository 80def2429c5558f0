"""Print what the collection's modules and filters take, as JSON.

Usage: ``python -m tests.harness.plugin_options`` with the directory that holds
``ansible_collections`` in ``PYTHONPATH``. What a module takes is what it hands to
``AnsibleModule``; of one that is an action alone, and hands it nothing, nobody can
tell, so it is null.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Mapping
from typing import Any

from ansible.module_utils import basic
from ansible_collections.novnc.fleet.plugins import filter as filters
from ansible_collections.novnc.fleet.plugins import modules


class Taken(Exception):  # noqa: N818 (it tells of no error)
    """Carries what a module takes."""


class _Module:
    """Stands for AnsibleModule, which modules call or derive theirs from."""

    def __init__(self, argument_spec: Mapping[str, Any], **_: Any) -> None:
        raise Taken(argument_spec)


def nested(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names in a specification, each with the names in it."""
    return {name: nested(option.get("options", {})) for name, option in spec.items()}


def of_modules() -> dict[str, Any]:
    """Return what each module takes."""
    found: dict[str, Any] = {}
    basic.AnsibleModule = _Module
    for _, name, _ in pkgutil.iter_modules(modules.__path__):
        module = importlib.import_module(f"{modules.__name__}.{name}")
        found[name] = None
        if hasattr(module, "main"):
            try:
                module.main()
            except Taken as taken:
                found[name] = nested(taken.args[0])
    return found


def of_filters() -> dict[str, Any]:
    """Return what each filter takes; what comes before the bar is ``_input``."""
    found: dict[str, Any] = {}
    for _, name, _ in pkgutil.iter_modules(filters.__path__):
        file = importlib.import_module(f"{filters.__name__}.{name}")
        for own, function in file.FilterModule().filters().items():
            _, *more = inspect.signature(function).parameters
            found[own] = {key: {} for key in ("_input", *more)}
    return found


if __name__ == "__main__":
    print(json.dumps({"module": of_modules(), "filter": of_filters()}))
