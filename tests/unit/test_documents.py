"""README and documents name nothing that there is not, and no link leads nowhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from novnc_console_command import cli

from tests.harness import manual, names
from tests.harness.manual import PAGES, Block
from tests.harness.project import ROOT

TRACKED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
"""Every document of the project."""


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def link_faults(page: Path) -> list[str]:
    """Return which links of a page lead nowhere."""
    faults = []
    for link in manual.links(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists():
            faults.append(f"{link}: there is no such file")
        elif anchor and anchor not in manual.anchors(goal):
            faults.append(f"{link}: there is no such heading")
    return faults


@pytest.mark.parametrize("page", TRACKED)
def test_links_lead_somewhere(page: str) -> None:
    assert link_faults(ROOT / page) == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_names_in_it_exist(page: Path) -> None:
    assert list(names.text_faults(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_commands_in_it_exist(page: Path) -> None:
    commands = [block for block in manual.blocks(page) if block.language == "sh"]
    assert [fault for block in commands for fault in names.command_faults(block)] == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_yaml_in_it_can_be_read(page: Path) -> None:
    for block in manual.blocks(page):
        if block.language == "yaml":
            assert yaml.safe_load(block.text), block.where


def test_what_ci_runs_exists() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    commands = [re.sub(r"^sudo( --\S+)* ", "", step["run"]) for step in steps]
    assert "make release-check" in commands
    block = Block("ci.yml", "", "sh", "", "", "", 0, "\n".join(commands))
    assert list(names.command_faults(block)) == []


def test_every_page_with_commands_that_run_is_tested() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "docs").glob("test_*.py"))
    for page in PAGES:
        if any(block.action == "run" for block in manual.blocks(page)):
            assert f'{page.stem}"' in tests or f'"{page.name}"' in tests, shown(page)


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {
        (ROOT / link.partition("#")[0]).resolve() for link in manual.links(ROOT / "README.md")
    }
    assert set(PAGES) - linked == {ROOT / "README.md"}


def test_every_subcommand_is_known_here() -> None:
    told = re.findall(r"^    (\w+) +[A-Z]", cli.parser().format_help(), re.MULTILINE)
    assert told == list(names.SUBCOMMANDS)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`novnc_console_colour: red`", "novnc_console_colour is no variable"),
        ("novnc.fleet.colours", "novnc.fleet.colours is no module, filter, role or playbook"),
        ("`make coffee`", "'make coffee' makes nothing"),
        ("`playbooks/coffee.yml`", "playbooks/coffee.yml is not there"),
        ("`novnc-coffee@web01.service`", "novnc-coffee@ is no unit"),
    ],
)
def test_a_name_of_nothing_is_found(text: str, fault: str) -> None:
    assert list(names.text_faults(text)) == [fault]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("brew install novnc", "brew is no command that we know"),
        ("make -s coffee NAME=x", "'make coffee' makes nothing"),
        ("ansible-playbook -i inventory/mine playbooks/coffee.yml", "playbooks/coffee.yml is not"),
        ("scripts/coffee", "scripts/coffee is no command that we know"),
        ("novnc-console brew web01", "novnc-console has no 'brew'"),
        ("systemctl restart novnc-coffee.service", "novnc-coffee is no unit"),
        ("systemctl status 'novnc-coffee@web01'", "novnc-coffee@ is no unit"),
    ],
)
def test_a_command_of_nothing_is_found(command: str, fault: str) -> None:
    block = Block("x.md:1", "", "sh", "", "", "", 0, command)
    assert any(fault in found for found in names.command_faults(block))


@pytest.mark.parametrize("link", ["docs/coffee.md", "docs/fleet.md#coffee", "#coffee"])
def test_a_link_to_nowhere_is_found(link: str, tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\nSee [this]({link}) and [that](docs/fleet.md#the-gateway).\n")
    (fault,) = link_faults(page)
    assert fault.startswith(link)


def test_a_fence_that_nobody_understands_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manual, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```sh walk on kvm1\ntrue\n```\n")
    with pytest.raises(ValueError, match="nobody understands 'walk on kvm1'"):
        manual.blocks(page)
