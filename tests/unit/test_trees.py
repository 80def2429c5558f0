"""Versions side by side: whole or not there, mended in place, and nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.trees import TreeError, Trees

CHECKSUM = "sha256:" + "0" * 64
FILES = {"vnc.html": b"page", "core/rfb.js": b"code", "bin/websockify": b"#!"}


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    """Return a directory of versions that is not there yet."""
    return Trees(str(tmp_path / "novnc"))


def install(trees: Trees, version: str, checksum: str = CHECKSUM) -> Path:
    """Install a version; return its path."""
    trees.install(version, FILES, checksum, lambda tree: None)
    return Path(trees.path(version))


def refuse(tree: str) -> None:
    """Find a tree wanting."""
    raise TreeError(f"{os.path.basename(tree)} is no good")


def test_a_version_is_installed(trees: Trees) -> None:
    path = install(trees, "1.6.0")
    assert trees.is_whole("1.6.0", CHECKSUM)
    assert not trees.is_whole("1.6.0", "sha256:" + "1" * 64)
    assert {str(one.relative_to(path)) for one in path.rglob("*") if one.is_file()} == set(FILES)
    assert (path / "bin" / "websockify").stat().st_mode & 0o777 == 0o755
    assert sorted(os.listdir(trees.root)) == [".1.6.0.json", "1.6.0"]


def test_what_is_found_wanting_leaves_nothing(trees: Trees) -> None:
    with pytest.raises(TreeError, match="tree is no good"):
        trees.install("1.6.0", FILES, CHECKSUM, refuse)
    assert not os.path.exists(trees.root)
    install(trees, "1.3.0")
    with pytest.raises(TreeError):
        trees.install("1.6.0", FILES, CHECKSUM, refuse)
    assert sorted(os.listdir(trees.root)) == [".1.3.0.json", "1.3.0"]


@pytest.mark.parametrize(
    "damage",
    [
        "rm core/rfb.js",
        "echo mine >> vnc.html",
        "echo mine > core/mine.js",
        "mkdir -p mine/mine && touch mine/mine/x",
        "ln -s /etc core/etc",
        "ln -sf nowhere vnc.html",
        "mkfifo core/fifo",
        "chmod 700 core",
        "chmod 600 vnc.html",
        "rm -r core && touch core",
        "rm vnc.html && mkdir vnc.html",
    ],
)
def test_what_was_changed_by_hand_is_mended_in_place(trees: Trees, damage: str) -> None:
    path = install(trees, "1.6.0")
    inode = path.stat().st_ino
    assert os.system(f"cd {path} && {damage}") == 0  # noqa: S605 (our own words)
    assert not trees.is_whole("1.6.0", CHECKSUM)
    install(trees, "1.6.0")
    assert trees.is_whole("1.6.0", CHECKSUM)
    assert path.stat().st_ino == inode


def test_another_release_of_what_is_in_force_is_refused(trees: Trees) -> None:
    install(trees, "1.6.0")
    trees.switch("1.6.0")
    with pytest.raises(TreeError, match="was made from another release"):
        install(trees, "1.6.0", "sha256:" + "1" * 64)
    assert trees.is_whole("1.6.0", CHECKSUM)


def test_what_a_run_that_died_has_left_is_cleared(trees: Trees) -> None:
    install(trees, "1.3.0")
    (Path(trees.root) / ".new-x").mkdir()
    (Path(trees.root) / ".1.6.0.json").write_text("{")
    install(trees, "1.6.0")
    assert trees.is_whole("1.6.0", CHECKSUM)
    assert not (Path(trees.root) / ".new-x").exists()


def test_what_is_not_ours_is_left_alone(trees: Trees) -> None:
    install(trees, "1.3.0")
    mine = Path(trees.root) / "1.6.0"
    mine.mkdir()
    with pytest.raises(TreeError, match="nobody here has made it"):
        install(trees, "1.6.0")
    os.symlink("/srv/mine", trees.link)
    with pytest.raises(TreeError, match="is not what was made here"):
        trees.switch("1.3.0")
    trees.remove_all()
    assert sorted(os.listdir(trees.root)) == ["1.6.0", "current"]


def test_everything_of_ours_goes(trees: Trees) -> None:
    install(trees, "1.3.0")
    install(trees, "1.6.0")
    trees.switch("1.6.0")
    assert trees.current() == "1.6.0"
    assert trees.versions() == ["1.6.0", "1.3.0"]
    trees.remove_all()
    assert not os.path.exists(trees.root)
