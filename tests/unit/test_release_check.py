"""``make release-check``: what it lets pass, and each fault that it finds."""

from __future__ import annotations

import copy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import release
from tests.harness.project import ROOT
from tests.harness.release_faults import (
    content_faults,
    documentation_faults,
    role_faults,
    version_faults,
)

RIGHT: dict[str, Any] = {
    "version": "1.2.0",
    "changelog": "# Changelog\n\n## 1.2.0 (2030-01-31)\n\n## 1.1.0 (2029-01-31)\n",
    "command": "1.2.0",
    "here": ["v1.2.0"],
    "tags": ["v1.2.0", "v1.1.0"],
}


def test_the_clone_says_one_version_everywhere() -> None:
    assert list(release.versions()) == []


def test_the_clones_documentation_is_complete() -> None:
    assert list(release.documentation(release.CLONE)) == []


def test_a_tarball_has_nothing_of_ones_own_inventory(tmp_path: Path) -> None:
    clone, place = tmp_path / "clone", tmp_path / "place"
    place.mkdir()
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, clone / name, follow_symlinks=False)
    for own in ("inventory/mine", "inventory/example", "inventory/eu", "fleet"):
        (clone / own / "pki" / "servers").mkdir(parents=True)
        for file in ("pki/ca.key", "pki/password-salts", "pki/servers/kvm1.key"):
            (clone / own / file).write_text("secret")
    (clone / "inventory/mine/hosts.yml").write_text("novnc_gateways:")
    names = set(release.files_of(release.build(place, clone)))
    assert "inventory/example/hosts.yml" in names
    assert "roles/novnc_gateway/tasks/main.yml" in names
    assert not [name for name in names if "pki/" in name or "mine" in name]


def test_what_fits_together_has_no_fault() -> None:
    assert list(version_faults(**RIGHT)) == []


def test_a_rehearsal_needs_neither_tag_nor_day() -> None:
    early = {"changelog": "## 1.2.0 (unreleased)\n", "here": [], "tags": ["v1.1.0"]}
    assert list(version_faults(**{**RIGHT, **early})) == []


SHORT = {"version": "1.2", "command": "1.2", "changelog": "## 1.2 (soon)", "here": [], "tags": []}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (SHORT, "version '1.2' is no semantic version"),
        ({"command": "1.1.0"}, "says 1.1.0 and galaxy.yml 1.2.0"),
        ({"changelog": "# Changelog\n"}, "has no heading"),
        ({"changelog": "## 1.1.0 (2029-01-31)\n"}, "begins with 1.1.0 and galaxy.yml says 1.2.0"),
        ({"here": ["v1.2.0", "v1.3.0"]}, "is tagged v1.3.0 and galaxy.yml says 1.2.0"),
        ({"changelog": "## 1.2.0 (unreleased)\n"}, "says 'unreleased'; write the day"),
        ({"here": []}, "v1.2.0 is released already, as another commit"),
    ],
)
def test_what_does_not_is_said(wrong: dict[str, Any], words: str) -> None:
    (fault,) = version_faults(**{**RIGHT, **wrong})
    assert words in fault


TRACKED = ["README.md", "roles/x/tasks/main.yml", "tests/unit/test_x.py", "galaxy.yml"]
FILES = {"README.md": b"", "roles/x/tasks/main.yml": b"", "MANIFEST.json": b""}


def test_a_tarball_of_what_belongs_there_has_no_fault() -> None:
    assert list(content_faults(FILES, TRACKED)) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"tests/unit/test_x.py": b""}, "'tests' is no part of a collection"),
        ({".cache/users.json": b""}, "'.cache' is no part of a collection"),
        ({"roles/x/.cache/y": b""}, "this is for the project only"),
        ({"roles/x/tests/y.yml": b""}, "this is for the project only"),
        ({"inventory/demo/hosts.yml": b""}, "this is for the project only"),
        ({"inventory/mine/hosts.yml": b""}, "git does not know it"),
        ({"roles/x/tasks/main.yml": b"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49"}, "a key"),
        ({"roles/x/tasks/main.yml": b"$ANSIBLE_VAULT;1.1;AES256\n"}, "a vault"),
        ({"README.md": b"password_hash: scrypt$15$8$1$c2FsdHNhbHRzYWx0c2FsdA"}, "hash"),
    ],
)
def test_what_does_not_belong_in_it_is_said(more: dict[str, bytes], words: str) -> None:
    (fault,) = content_faults({**FILES, **more}, TRACKED)
    assert fault.startswith(next(iter(more)))
    assert words in fault


def test_what_is_missing_in_it_is_said() -> None:
    (fault,) = content_faults({"README.md": b""}, TRACKED)
    assert fault.startswith("roles/x/tasks/main.yml: it is not in the tarball")


TAKEN: dict[str, Any] = {"probe": {"target": {"url": {}}, "timeout": {}}}
TOLD: dict[str, Any] = {
    "novnc.fleet.probe": {
        "doc": {
            "module": "probe",
            "short_description": "Probe",
            "description": ["Probes."],
            "options": {
                "target": {"description": "What.", "suboptions": {"url": {"description": "Its."}}},
                "timeout": {"description": "Seconds."},
            },
        },
        "examples": "- probe:",
        "return": {"msg": {}},
    }
}


def test_complete_documentation_has_no_fault() -> None:
    assert list(documentation_faults("module", TAKEN, TOLD)) == []


def test_of_an_action_alone_what_it_takes_is_not_asked() -> None:
    assert list(documentation_faults("module", {"probe": None}, TOLD)) == []


def _without_doc(told: dict[str, Any]) -> None:
    told.clear()


def _of_another(told: dict[str, Any]) -> None:
    told["novnc.fleet.probe"]["doc"]["module"] = "visit"


def _without_examples(told: dict[str, Any]) -> None:
    told["novnc.fleet.probe"]["examples"] = None


def _without_option(told: dict[str, Any]) -> None:
    del told["novnc.fleet.probe"]["doc"]["options"]["timeout"]


def _without_inner_option(told: dict[str, Any]) -> None:
    told["novnc.fleet.probe"]["doc"]["options"]["target"]["suboptions"] = {}


def _without_words(told: dict[str, Any]) -> None:
    told["novnc.fleet.probe"]["doc"]["options"]["timeout"]["description"] = ""


def _with_more(told: dict[str, Any]) -> None:
    told["novnc.fleet.probe"]["doc"]["options"]["colour"] = {"description": "Its."}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_doc, "module probe: ansible-doc knows nothing of it"),
        (_of_another, "module probe: ansible-doc shows the documentation of visit"),
        (_without_examples, "module probe: it has no examples"),
        (_without_option, "module probe: timeout is not documented"),
        (_without_inner_option, "module probe: target: url is not documented"),
        (_without_words, "module probe: timeout has no description"),
        (_with_more, "module probe: colour is documented and not taken"),
    ],
)
def test_a_gap_in_it_is_said(spoil: Callable[[dict[str, Any]], None], words: str) -> None:
    told = copy.deepcopy(TOLD)
    spoil(told)
    (fault,) = documentation_faults("module", TAKEN, told)
    assert fault.startswith(words)


SPEC = {"short_description": "X", "description": ["X."], "options": {"x_a": {"description": "A"}}}


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ({}, "role x: ansible-doc knows nothing of it"),
        ({"main": {**SPEC, "description": []}}, "role x: it has no description"),
        ({"main": {**SPEC, "options": {}}}, "role x: x_a is not documented"),
        ({"main": {**SPEC, "options": {"x_a": {}}}}, "role x: x_a has no description"),
        ({"main": SPEC, "plan": {**SPEC, "options": {"x_b": {}}}}, "role x, plan: x_b has no desc"),
        (
            {"main": {**SPEC, "options": {"x_a": {"description": "A", "options": {"b": {}}}}}},
            "role x: x_a: b has no description",
        ),
    ],
)
def test_a_gap_in_a_roles_is_said(points: dict[str, Any], words: str) -> None:
    told = {"novnc.fleet.x": {"entry_points": points}}
    (fault,) = role_faults({"x": ["x_a"]}, told)
    assert fault.startswith(words)


def test_a_playbook_that_ansible_does_not_take_is_said(tmp_path: Path) -> None:
    faults = list(release.syntax(tmp_path, tmp_path))
    assert len(faults) == len(list((ROOT / "playbooks").glob("*.yml")))
    assert "ansible-playbook -i localhost, novnc.fleet.site --syntax-check' failed" in " ".join(
        faults
    )


def test_what_a_tool_says_is_shown(tmp_path: Path) -> None:
    with pytest.raises(release.BrokenError, match="'sh -c echo why; exit 1' failed:\nwhy"):
        release.run("sh", "-c", "echo why; exit 1", cwd=tmp_path)
