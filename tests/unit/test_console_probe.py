# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The module console_probe, run as Ansible runs it."""

from __future__ import annotations

import io
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.yaml import yaml_load
from ansible.module_utils.testing import patch_module_args
from ansible_collections.novnc.fleet.plugins.module_utils.probe import Console, ProbeResult
from ansible_collections.novnc.fleet.plugins.modules import console_probe
from PIL import Image

from tests.unit.fakes import VERSION, greeting, rectangle, says, serve, text, update

RGB = bytes(range(36))
SCREEN = update(rectangle(0, 0, 4, 3, RGB))
REFUSES = VERSION + b"\x00" + text(b"full")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the module with options and returns what it says."""

    def run_module(check_mode: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {"timeout": 5, **options, "_ansible_check_mode": check_mode}
        with patch_module_args(arguments), pytest.raises(SystemExit) as left:
            console_probe.main()
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert bool(left.value.code) == said.get("failed", False)
        return said

    return run_module


def target(name: str, url: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "url": url, **more}


def test_results_are_complete(run: Any) -> None:
    with serve(says(greeting())) as address:
        said = run(targets=[target("web01", address, expect_name="QEMU (web01)")])
    (result,) = said["results"]
    assert said["changed"] is False
    assert (result["name"], result["ok"], result["verified"]) == ("web01", True, True)
    documented = yaml_load(console_probe.RETURN)["results"]["contains"]
    assert set(result) == set(documented) == {"name", "png", *ProbeResult("").as_dict()}
    assert result["png"] is None


def test_every_failure_has_its_line(run: Any) -> None:
    with serve(says(REFUSES)) as bad, serve(says(greeting())) as good:
        said = run(
            targets=[
                target("a", bad),
                target("b", good, expect_name="QEMU (web01)"),
                target("c", good, expect_name="QEMU (c)"),
                target("d", good, expect_name="QEMU (web01)", strict=True),
                target("e", "nonsense"),
            ]
        )
    assert said["failed"]
    lines = said["msg"].split("\n")
    assert lines[0] == f"a ({bad}): refused: the VNC server refuses: 'full'"
    assert lines[1].startswith(f"c ({good}): name: {good} shows another VM")
    assert lines[2].startswith("e (nonsense): resolve: ")
    assert len(lines) == 3
    assert [result["name"] for result in said["results"]] == ["a", "b", "c", "d", "e"]


def test_every_option_reaches_the_probe(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []

    def record(consoles: list[Console], **options: Any) -> list[ProbeResult]:
        calls.append((consoles, options))
        return [ProbeResult("h:1", ok=True)]

    monkeypatch.setattr(console_probe, "probe_all", record)
    options: dict[str, Any] = {
        "ca": "/ca.pem",
        "verify": False,
        "timeout": 2.5,
        "workers": 3,
        "frame": True,
    }
    options |= {"other_names": ["QEMU (c)"], "headers": {"X-Console-User": "check"}}
    url = "wss://h/"
    keys = {"expect_name": "b", "strict": True, "origin": "http://o", "page": "http://o/"}
    identity = {"client_cert": "/c.crt", "client_key": "/c.key"}
    run(targets=[target("a", url, **keys)], **identity, **options)
    options["identity"] = ("/c.crt", "/c.key")
    assert calls == [([Console(url, "b", True, "http://o", "http://o/")], options)]


def test_strict_reaches_the_probe(run: Any) -> None:
    with serve(says(greeting())) as address:
        loose, strict = (
            run(targets=[target("a", address, expect_name="QEMU (a)", strict=strict)])
            for strict in (False, True)
        )
    assert not loose.get("failed")
    assert strict["failed"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_pictures(run: Any, tmp_path: Path, check_mode: bool) -> None:
    def handle(connection: socket.socket) -> None:
        says(greeting(), SCREEN)(connection)

    with serve(handle) as address, serve(says(VERSION + b"\x01\x02")) as locked:
        said = run(
            check_mode,
            targets=[target("web.01", address), target("locked", locked)],
            png_dir=str(tmp_path),
        )
    path = tmp_path / "web.01.png"
    assert said["results"][0]["ms_first_frame"] is not None
    assert [r["png"] for r in said["results"]] == [None if check_mode else str(path), None]
    assert [p.name for p in tmp_path.iterdir()] == ([] if check_mode else ["web.01.png"])
    if not check_mode:
        assert Image.open(io.BytesIO(path.read_bytes())).tobytes() == RGB
    assert said["changed"] is False


def test_a_picture_that_cannot_be_written(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with serve(says(greeting(), SCREEN)) as address:
        said = run(targets=[target("a", address)], png_dir=str(tmp_path))
    assert said["failed"]
    assert "cannot write the picture of 'a'" in said["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"targets": [target("../x", "h:1")]}, "target name '../x' is not usable"),
        ({"targets": [target("a" * 64, "h:1")]}, "is not usable"),
        ({"targets": [target("a\n", "h:1")]}, "is not usable"),
        ({"targets": [target("a", "h:1"), target("a", "h:2")]}, "2 targets have the name 'a'"),
        ({"targets": [], "timeout": 0}, "timeout is 0; it must be more than 0"),
        ({"targets": [], "workers": 0}, "workers is 0; it must be at least 1"),
        ({"targets": [], "png_dir": "/nonexistent"}, "'/nonexistent' is no directory"),
    ],
)
def test_options_are_checked_first(run: Any, options: dict[str, Any], words: str) -> None:
    said = run(**options)
    assert said["failed"]
    assert words in said["msg"]
    assert "results" not in said


def test_no_targets_are_no_failure(run: Any) -> None:
    assert run(targets=[])["results"] == []


def test_options_are_documented_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class StopError(Exception):
        """Ends the module once its options are known."""

    def capture(argument_spec: dict[str, Any], supports_check_mode: bool, **_rules: Any) -> None:
        seen.update(argument_spec)
        assert supports_check_mode
        raise StopError

    monkeypatch.setattr(console_probe, "AnsibleModule", capture)
    with pytest.raises(StopError):
        console_probe.main()
    documentation = yaml_load(console_probe.DOCUMENTATION)

    def without_words(options: dict[str, Any]) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for name, option in options.items():
            plain[name] = {k: v for k, v in option.items() if k != "description"}
            if "suboptions" in option:
                plain[name]["options"] = without_words(plain[name].pop("suboptions"))
        return plain

    assert without_words(documentation["options"]) == seen


def test_examples_use_the_module() -> None:
    tasks = yaml_load(console_probe.EXAMPLES)
    options = yaml_load(console_probe.DOCUMENTATION)["options"]
    for task in tasks:
        assert set(task["novnc.fleet.console_probe"]) <= set(options)


def test_half_an_identity_is_refused(run: Any) -> None:
    said = run(targets=[], client_cert="/c.crt")
    assert said["failed"]
    assert "client_cert, client_key" in said["msg"]
