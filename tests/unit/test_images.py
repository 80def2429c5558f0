"""What is written for containers, and what it comes to."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, UnixTarget
from novnc_console_image.settings import read_settings as read_console
from novnc_gateway_image import settings as gateway_image
from novnc_image.environment import WrittenError, value
from novnc_service.generations import Generations, write
from novnc_vm_image.settings import arguments
from novnc_vm_image.settings import read_settings as read_vm

from tests.harness.project import ROOT


def test_a_value_is_a_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    assert value({"X": "as it is"}, "X") == "as it is"
    assert value({"X_FILE": str(file)}, "X") == "from a file"
    assert value({}, "X", "otherwise") == "otherwise"
    assert value({"X": ""}, "X", "otherwise") == "otherwise"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"X": "a", "X_FILE": "b"}, "X and X_FILE are both set"),
        ({"X_FILE": "/nowhere"}, "X_FILE is '/nowhere', which cannot be read"),
    ],
)
def test_a_file_that_cannot_be_is_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(WrittenError, match=re.escape(words)):
        value(environ, "X")


def test_it_ends_when_told_to_while_it_starts() -> None:
    """The first process of a container gets no signal that it has no handler for."""
    # It never rests: a signal just before one long wait would be noticed at its end only.
    script = (
        "import time; from novnc_image.environment import run\n"
        "def start():\n"
        "    print('started', end='', flush=True)\n"
        "    end = time.monotonic() + 30\n"
        "    while time.monotonic() < end: pass\n"
        "    raise SystemExit(3)\n"
        "run(start)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT / "docker" / "shared")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(7) == b"started"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_console_needs_no_more_than_its_target() -> None:
    found = read_console({"VNC_TARGET": "[2001:db8::1]:5900"})
    assert found.target == TcpTarget("2001:db8::1", 5900)
    assert found.listen == TcpTarget("0.0.0.0", 6080)
    assert found.origins == ("self",)
    assert found.tls is None


def test_a_console_takes_sockets_and_origins() -> None:
    said = {"VNC_TARGET": "unix:/run/a", "LISTEN": "unix:/run/b"}
    found = read_console({**said, "ALLOWED_ORIGINS": "https://a.example, http://[::1]:8080"})
    assert (found.target, found.listen) == (UnixTarget("/run/a"), UnixTarget("/run/b"))
    assert found.origins == ("https://a.example", "http://[::1]:8080")


@pytest.mark.parametrize(
    "origins", ["a.example", "https://a.example/", "self", "*", "https://A.example", "null"]
)
def test_what_no_browser_sends_is_no_origin(origins: str) -> None:
    with pytest.raises(WrittenError, match="which no browser sends"):
        read_console({"VNC_TARGET": "vm:1", "ALLOWED_ORIGINS": origins})


def test_a_vm_without_a_disk_is_the_test_guest() -> None:
    found = read_vm({"VM_NAME": "web01"})
    assert found.vnc == UnixTarget("/run/novnc-vms/web01.vnc")
    words = arguments(found, "/proc/self/fd/3", "")
    assert words[words.index("-name") + 1] == "web01"
    assert words[words.index("-vnc") + 1] == "unix:/run/novnc-vms/web01.vnc,share=force-shared"
    assert words[words.index("-m") + 1] == "16"
    assert words[words.index("-accel") + 1].startswith("tcg")
    assert "host" not in words


def test_a_vm_of_ones_own() -> None:
    said = {"DISK": "/disks/a,b.qcow2", "VNC": "[::1]:5907", "MEMORY": "2048", "CPUS": "2"}
    found = read_vm({**said, "QEMU_ARGS": "-device 'usb-ehci,id=a b'"})
    words = arguments(found, found.disk, "host")
    assert words[words.index("-drive") + 1] == "file=/disks/a,,b.qcow2,format=qcow2,if=virtio"
    assert words[words.index("-vnc") + 1] == "[::1]:7,share=force-shared"
    assert words[words.index("-accel") + 1] == "kvm"
    assert words[-2:] == ["-device", "usb-ehci,id=a b"]


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"VM_NAME": "a b"}, "VM_NAME is 'a b'"),
        ({"VNC": "vm:5900"}, "'vm' is no IP address"),
        ({"VNC": "0.0.0.0:80"}, "QEMU's ports begin at 5900"),
        ({"DISK": "disk.img"}, "write the absolute path"),
        ({"DISK_FORMAT": "iso"}, "DISK_FORMAT is 'iso'"),
        ({"MEMORY": "1G"}, "MEMORY is '1G'"),
        ({"CPUS": "0"}, "CPUS is '0'"),
        ({"QEMU_ARGS": "'"}, "QEMU_ARGS cannot be split"),
    ],
)
def test_a_vm_that_cannot_be_is_refused(environ: dict[str, str], words: str) -> None:
    with pytest.raises(WrittenError) as refused:
        read_vm(environ)
    assert words in str(refused.value)


def test_a_bad_name_from_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("a b\n")
    with pytest.raises(WrittenError, match="VM_NAME is 'a b'"):
        read_vm({"VM_NAME_FILE": str(tmp_path / "name")})


@pytest.mark.parametrize(
    ("disk", "form"),
    [
        ("/dev/vg/raw", "raw"),
        ("/dev/vg/qcow2", "raw"),
        ("/dev/vg.qcow2/web", "raw"),
        ("/disks/web.img", "raw"),
        ("/disks/web.raw", "raw"),
        ("/disks/web.vmdk", "vmdk"),
    ],
)
def test_a_disk_is_what_its_ending_says_and_raw_without_one(disk: str, form: str) -> None:
    assert read_vm({"DISK": disk}).disk_format == form


def test_a_generation_counts_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    generations = Generations(str(tmp_path / "run"))
    for text in ("first", "second"):
        with generations.another() as made:
            (made / "file").write_text(text)
        assert (generations.current / "file").read_text() == text
    with suppress(WrittenError), generations.another() as made:
        (made / "file").write_text("third")
        raise WrittenError("no")
    assert (generations.current / "file").read_text() == "second"
    assert len(list((tmp_path / "run").glob("made-*"))) == 1


def test_a_file_is_written_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path, before = tmp_path / "file", tmp_path / "before"
    with pytest.raises(UnicodeEncodeError):
        write(path, "half\udc00")
    assert list(tmp_path.iterdir()) == []
    write(path, "first")
    before.hardlink_to(path)
    write(path, "second")
    # The first was replaced, and nobody has seen a part of the second.
    assert (before.read_text(), path.read_text()) == ("first", "second")
    assert path.stat().st_mode & 0o777 == 0o600
    assert {one.name for one in tmp_path.iterdir()} == {"file", "before"}


def test_salts_that_a_crash_has_left_empty_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_image, "_STATE", str(tmp_path))
    (tmp_path / "password-salts").touch()
    salts = gateway_image._salts()
    assert len(salts) == 64
    assert gateway_image._salts() == salts


def test_a_password_that_a_crash_has_left_empty_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in {"PORTAL": "localhost:8443", "ENDPOINT": "192.0.2.2"}.items():
        monkeypatch.setenv(name, text)
    for name in ("pki", "endpoint", "gateway"):
        (tmp_path / name).mkdir()
    (tmp_path / "pki" / "password").touch()
    setup = runpy.run_path(str(ROOT / "docker" / "compose" / "setup.py"))
    setup["main"].__globals__["ROOT"] = tmp_path
    setup["main"]()
    password = (tmp_path / "pki" / "password").read_text()
    assert len(password) == 16
    assert capsys.readouterr().out.endswith(f"with the password {password}\n")
    setup["main"]()
    assert capsys.readouterr().out.endswith(f"with the password {password}\n")
    secret = ["pki/password", "gateway/gateway.yml", "endpoint/tls.key", "gateway/gateway/tls.key"]
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in secret} == {0o600}


def test_compose_and_the_readme_name_this_version() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    readme = (ROOT / "docker" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"novnc-fleet/[a-z-]+:([0-9.]+)", readme)) == {version}
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yml").read_text())
    images = {one["image"] for one in services["services"].values()}
    assert {image.partition(":")[2] for image in images} == {f"${{NOVNC_FLEET_VERSION:-{version}}}"}
