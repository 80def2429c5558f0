"""Files on a host: made as given, shown, or refused before anything changes."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.modules import host_files
from ansible_collections.novnc.fleet.plugins.modules.host_files import RefusedError

GROUP = grp.getgrgid(os.getegid()).gr_name


@pytest.fixture(autouse=True)
def owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all belong to whoever runs the tests."""
    monkeypatch.setattr(host_files, "_OWNER", os.geteuid())


class Module:
    """A run of the module."""

    def __init__(self, check_mode: bool, params: dict[str, Any]) -> None:
        self.check_mode = check_mode
        self.params = params


def run(*files: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
    """Return what the module comes to."""
    defaults = {"content": None, "group": GROUP, "mode": "0644"}
    params: dict[str, Any] = {"directories": [], "absent": [], "secrets": {}, **more}
    params["files"] = [{**defaults, **file} for file in files]
    return host_files.run(Module(check, params))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_of_it_is_made_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text("old")
    directory, file, key = tmp_path / "etc", tmp_path / "etc" / "a.conf", tmp_path / "etc" / "key"
    asked = (
        {"path": str(file), "content": "one\n"},
        {"path": str(key), "mode": "0600"},
    )
    more: Any = {"directories": [str(directory)], "absent": [str(old)]}
    more["secrets"] = {str(key): "s3cret"}
    told = run(*asked, check=True, **more)
    assert not directory.exists()
    assert old.exists()
    done = run(*asked, **more)
    assert told == done
    assert done["changed"] is True
    assert done["written"] == [str(directory), str(file), str(key)]
    assert done["removed"] == [str(old)]
    assert (file.read_text(), mode_of(file)) == ("one\n", 0o644)
    assert (key.read_text(), mode_of(key)) == ("s3cret", 0o600)
    assert mode_of(directory) == 0o755
    assert not old.exists()
    again = run(*asked, **more)
    assert again == {"changed": False, "written": [], "removed": [], "diff": []}


def test_a_difference_is_shown_but_for_secrets(tmp_path: Path) -> None:
    file, key = tmp_path / "a", tmp_path / "key"
    file.write_text("before")
    file.chmod(0o600)
    secrets = {str(key): "s3cret"}
    asked = ({"path": str(file), "content": "after"}, {"path": str(key)})
    diff = run(*asked, secrets=secrets, check=True)["diff"]
    assert diff[0] == {
        "before_header": f"{file} (mode 0600)",
        "after_header": f"{file} (mode 0644)",
        "before": "before",
        "after": "after",
    }
    assert "s3cret" not in str(diff[1])
    assert str(key) in str(diff[1])


def test_other_permissions_alone_are_a_change(tmp_path: Path) -> None:
    file, directory = tmp_path / "a", tmp_path / "d"
    file.write_text("same")
    file.chmod(0o666)
    directory.mkdir(mode=0o700)
    done = run({"path": str(file), "content": "same"}, directories=[str(directory)])
    assert done["written"] == [str(directory), str(file)]
    assert [one["prepared"] for one in done["diff"]] == [
        f"{directory} (directory)\n",
        f"{file} (mode 0644): had mode 0666, owner {os.geteuid()}, group {os.getegid()}\n",
    ]
    assert (mode_of(file), mode_of(directory)) == (0o644, 0o755)


def test_a_link_is_replaced_and_what_it_leads_to_is_left(tmp_path: Path) -> None:
    other, link = tmp_path / "other", tmp_path / "link"
    other.write_text("precious")
    link.symlink_to(other)
    assert run({"path": str(link), "content": "new"})["written"] == [str(link)]
    assert not link.is_symlink()
    assert other.read_text() == "precious"


def test_what_is_in_a_directory_that_goes_is_gone(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "in").write_text("")
    run(absent=[str(full), str(full / "in")])
    assert not full.exists()


def test_what_the_system_refuses_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "in")
    with pytest.raises(RefusedError, match=f"{path}: Not a directory|{path}: File exists"):
        run({"path": path, "content": ""})


def test_directories_go_with_what_they_hold_and_links_alone(tmp_path: Path) -> None:
    full, kept, link = tmp_path / "full", tmp_path / "kept", tmp_path / "link"
    for directory in (full, kept):
        (directory / "in").mkdir(parents=True)
    link.symlink_to(kept)
    done = run(absent=[str(full), str(link), str(tmp_path / "never")])
    assert done["removed"] == [str(full), str(link)]
    assert done["diff"] == [{"prepared": f"{path}: removed\n"} for path in (full, link)]
    assert not full.exists()
    assert (kept / "in").is_dir()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"path": "etc/x", "content": ""}, "'etc/x' is no absolute path"),
        ({"path": "/x", "content": "", "mode": "u=rw"}, "mode 'u=rw' is not three octal digits"),
        ({"path": "/x", "content": "", "mode": "4755"}, "mode '4755' is not three octal digits"),
        ({"path": "/x", "content": "", "group": "no-such"}, "there is no group 'no-such'"),
        ({"path": "/usr", "content": ""}, "/usr is there and is no file"),
        ({"path": "/x"}, "/x: its text belongs into 'content' or among the secrets"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_changes(
    tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        run({"path": str(tmp_path / "a"), "content": "a"}, wrong)
    assert not list(tmp_path.iterdir())


def test_a_secret_has_one_place(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    with pytest.raises(RefusedError, match="belongs into 'content' or among the secrets"):
        run({"path": path, "content": "a"}, secrets={path: "b"})
    with pytest.raises(RefusedError, match="but not among the files"):
        run(secrets={path: "b"})


def test_under_check_a_group_may_not_have_been_made(tmp_path: Path) -> None:
    file = {"path": str(tmp_path / "a"), "content": "a", "group": "no-such"}
    assert run(file, check=True)["written"] == [file["path"]]


def test_a_file_in_a_directorys_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("precious")
    with pytest.raises(RefusedError, match="is no directory"):
        run(directories=[str(file)], absent=[str(file)])
    assert file.read_text() == "precious"
