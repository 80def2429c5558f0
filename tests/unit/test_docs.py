"""Specifications, defaults and documents say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.harness.docs import ROLES, documents, specification
from tests.harness.project import ROOT

SHARED = {"novnc_vms", "novnc_pki_dir"}
"""Variables that belong to no role alone, so that no role has a default for them."""


@pytest.mark.parametrize("role", ROLES)
def test_specifications_equal_defaults(role: str) -> None:
    file = ROOT / "roles" / role / "defaults" / "main.yml"
    defaults = yaml.safe_load(file.read_text()) if file.exists() else {}
    options = specification(role)["options"]
    specified = {
        name: spec.get("default")
        for name, spec in options.items()
        if name not in SHARED and not spec.get("required")
    }
    assert specified == defaults


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_bears_its_roles_name(role: str) -> None:
    assert all(name.startswith(f"{role}_") for name in set(specification(role)["options"]) - SHARED)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_are_made_anew(path: Path) -> None:
    assert path.read_text() == documents()[path], "run 'make docs'"
