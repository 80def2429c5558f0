"""VMs in QEMU's command lines and in its monitor's answers, as QEMU 7.2 has them."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.listeners import Listener, parse_ss
from ansible_collections.novnc.fleet.plugins.module_utils.process import Process
from ansible_collections.novnc.fleet.plugins.module_utils.vm import (
    Display,
    tcp_display,
    unix_display,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_qemu import (
    QemuVm,
    parse_command,
    parse_options,
    qemu_processes,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_qmp import ask_monitor
from hypothesis import given
from hypothesis import strategies as st

UUID = "60d846e1-d4e2-499f-ab52-52d0f8a0e5b2"

LIBVIRTS = (
    "/usr/bin/qemu-system-x86_64 -name guest=web01,debug-threads=on -S -object"
    ' {"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/x.aes"} -machine'
    f" pc-i440fx-7.2,usb=off -uuid {UUID} -nodefaults -vnc 127.0.0.1:1,password=on,audiodev=audio1"
    " -device VGA,id=video0 -msg timestamp=on"
)


def unknown() -> None:
    """Say that this user may not know where a process listens."""


def command(line: str, ss: str | None = None) -> QemuVm:
    """Return the VM of a command line; ``ss`` are its listeners, as ss prints them."""

    def held() -> list[Listener] | None:
        if ss is None:
            return None
        lines = (f'LISTEN 0 1 {place} *:* users:(("qemu",pid=7,fd=1))' for place in ss.split())
        return parse_ss("\n".join(lines))

    return parse_command(["qemu-system-x86_64", *line.split()], held)


def test_a_process_of_libvirts_is_read() -> None:
    vm = parse_command(LIBVIRTS.split(" "), unknown)
    assert vm == QemuVm("web01", UUID, (tcp_display("127.0.0.1", 5901, 0, True),))


V4, V6 = tcp_display("127.0.0.1", 5900, 0, False), tcp_display("::1", 5900, 0, False)


@pytest.mark.parametrize(
    ("line", "displays"),
    [
        ("-vnc 127.0.0.1:0", [V4]),
        ("--vnc 127.0.0.1:0", [V4]),
        ("-vnc [::1]:0", [V6]),
        ("-display vnc=127.0.0.1:0", [V4]),
        ("-vnc vnc=127.0.0.1:0,share=force-shared", [V4]),
        ("-vnc 127.0.0.1:0 -vnc [::1]:0,id=two", [V4, V6]),
        ("-vnc unix:/run/a,,b.vnc,password=on", [unix_display("/run/a,b.vnc", True)]),
        ("-vnc 127.0.0.1:0,password", [tcp_display("127.0.0.1", 5900, 0, True)]),
        ("-vnc 127.0.0.1:0,password-secret=s", [tcp_display("127.0.0.1", 5900, 0, True)]),
        ("-vnc 127.0.0.1:0,sasl=on", [tcp_display("127.0.0.1", 5900, 0, True)]),
        ("-vnc 127.0.0.1:0,password=off", [V4]),
        ("-vnc 127.0.0.1:7,websocket", [tcp_display("127.0.0.1", 5907, 5707, False)]),
        ("-vnc 127.0.0.1:0,websocket=on", [tcp_display("127.0.0.1", 5900, 5700, False)]),
        ("-vnc 127.0.0.1:0,websocket=5801", [tcp_display("127.0.0.1", 5900, 5801, False)]),
        ("-vnc 127.0.0.1:0,websocket=::1:80", [tcp_display("127.0.0.1", 5900, 80, False)]),
        ("-vnc none", []),
        ("-vnc 127.0.0.1:5500,reverse=on", []),
        ("-vnc 127.0.0.1:70000", []),
        ("-nographic", []),
    ],
)
def test_what_stands_in_the_command_line_is_taken_from_there(
    line: str, displays: list[Display]
) -> None:
    assert list(command(line).displays) == displays


@pytest.mark.parametrize(
    ("line", "ss", "places"),
    [
        ("-vnc :50", "0.0.0.0:5950 [::]:5950", ["0.0.0.0:5950", ":::5950"]),
        ("-vnc localhost:51", "127.0.0.1:5951 [::1]:5951", ["127.0.0.1:5951", "::1:5951"]),
        ("-vnc :52,ipv4=on", "0.0.0.0:5952", ["0.0.0.0:5952"]),
        ("-vnc 127.0.0.1:0,to=99", "127.0.0.1:5904 127.0.0.1:4444", ["127.0.0.1:5904"]),
        # each address gets the first port that is free there
        ("-vnc localhost:0,to=99", "127.0.0.1:5904 [::1]:5900", ["127.0.0.1:5904", "::1:5900"]),
        ("", "127.0.0.1:5904 [::1]:5900", ["127.0.0.1:5904", "::1:5900"]),
        ("-display none", "127.0.0.1:5904", []),
        ("-vnc kvm1:0", "192.168.0.2:5900 127.0.0.1:5901", ["192.168.0.2:5900"]),
        ("-vnc :53,websocket=on", "0.0.0.0:5753 0.0.0.0:5953", ["0.0.0.0:5953"]),
    ],
)
def test_what_the_command_line_leaves_open_is_seen_on_the_process(
    line: str, ss: str, places: list[str]
) -> None:
    assert [f"{one.address}:{one.port}" for one in command(line, ss).displays] == places


def test_what_nobody_can_see_is_told_and_not_guessed() -> None:
    vm = command("-vnc 127.0.0.1:0,to=99")
    assert vm.displays == ()
    assert "QMP" in vm.warnings[0]
    assert command("-vnc :0").displays == (tcp_display("0.0.0.0", 5900, 0, False),)


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("web01", "web01"),
        ("web01,process=x", "web01"),
        ("guest=a,,b c,debug-threads=on", "a,b c"),
        ("process=x", ""),
    ],
)
def test_names(argument: str, name: str) -> None:
    assert parse_command(["qemu-system-x86_64", "-name", argument], unknown).name == name


def test_a_uuid_of_zeros_or_none_at_all_is_none() -> None:
    for text in ("00000000-0000-0000-0000-000000000000", "x", ""):
        assert parse_command(["qemu-system-x86_64", "-uuid", text], unknown).uuid == ""
    assert parse_command(["qemu-system-x86_64", "-uuid", UUID.upper()], unknown).uuid == UUID


VALUE = st.text(st.characters(exclude_characters="\0="), min_size=1)
KEY = st.text(st.characters(exclude_characters="\0=,"), min_size=1)


@given(VALUE, st.dictionaries(KEY, st.text(st.characters(exclude_characters="\0"))))
def test_options_are_read_as_qemu_writes_them(first: str, rest: dict[str, str]) -> None:
    parts = [first, *(f"{key}={value}" for key, value in rest.items())]
    text = ",".join(part.replace(",", ",,") for part in parts)
    assert parse_options(text, "vnc") == {"vnc": first, **rest}


@given(st.lists(st.sampled_from(["-vnc", "-name", "-uuid", "-display"]) | st.text()))
def test_no_command_line_stops_the_search(words: list[str]) -> None:
    parse_command(["qemu", *words], unknown)


def process(proc: Path, pid: int, *words: str, ns: str = "") -> None:
    """Make what the kernel shows of a process."""
    directory = proc / str(pid)
    directory.mkdir()
    (directory / "cmdline").write_bytes(b"".join(os.fsencode(word) + b"\0" for word in words))
    (directory / "status").write_text(f"Name:\tx\nNSpid:\t{pid}{ns}\n")
    (directory / "stat").write_text(f"{pid} (a (b) c) S {'1 ' * 18}{pid}00 0\n")


def test_only_qemu_of_this_host_counts_and_each_once(tmp_path: Path) -> None:
    words = ("-name", "Über uns", "-vnc", "127.0.0.1:0")
    process(tmp_path, 1, "/sbin/init")
    process(tmp_path, 2, "/usr/bin/qemu-system-x86_64", *words)
    process(tmp_path, 3, "/usr/bin/qemu-system-x86_64", *words)  # -daemonize, still forking
    process(tmp_path, 4, "/usr/libexec/qemu-kvm", "-name", "b", "-vnc", "127.0.0.1:1")
    process(tmp_path, 5, "sudo", "qemu-system-x86_64", *words)
    process(tmp_path, 6, "qemu-system-aarch64", "-name", "contained", ns="\t17")
    process(tmp_path, 7, "qemu-img", "convert")
    process(tmp_path, 8)
    (tmp_path / "9").mkdir()  # ended under our eyes
    found = qemu_processes(str(tmp_path))
    assert [vm.name for vm in found] == ["Über uns", "b"]
    assert [vm.process for vm in found] == [Process(2, 200), Process(4, 400)]


SERVERS = [
    {"auth": "none", "id": "b", "clients": [], "server": [
        {"auth": "none", "family": "unix", "service": "/run/q.vnc", "host": "", "websocket": False},
    ]},
    {"auth": "vnc", "id": "default", "clients": [], "server": [
        {"auth": "vnc", "family": "ipv6", "service": "5740", "host": "::", "websocket": True},
        {"auth": "vnc", "family": "ipv4", "service": "5940", "host": "0.0.0.0", "websocket": False},
    ]},
]  # fmt: skip
"""An answer of QEMU 7.2 to query-vnc-servers."""


@contextmanager
def monitor(path: Path, *lines: object) -> Iterator[None]:
    """Answer each line at a socket with the next of these, after a greeting."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as stream:
                stream.write(b'{"QMP": {"version": {}, "capabilities": []}}\n')
                for line in lines:
                    stream.flush()
                    stream.readline()
                    stream.write(json.dumps(line).encode() + b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_a_monitor_tells_name_uuid_and_every_listener(tmp_path: Path) -> None:
    path = tmp_path / "q.qmp"
    answers: list[object] = [{}, {"name": "web01"}, {"UUID": UUID}, SERVERS]
    with monitor(path, *({"return": answer} for answer in answers)):
        vm = ask_monitor("q", str(path))
    assert vm == QemuVm(
        "web01", UUID, (unix_display("/run/q.vnc", False), tcp_display("0.0.0.0", 5940, 5740, True))
    )


def test_a_monitor_that_refuses_is_told(tmp_path: Path) -> None:
    path = tmp_path / "q.qmp"
    with monitor(path, {"error": {"class": "GenericError", "desc": "not now"}}):
        vm = ask_monitor("q", str(path))
    assert (vm.name, vm.running) == ("q", False)
    assert "not now" in vm.warnings[0]


def test_a_monitor_that_hangs_is_told_in_time(tmp_path: Path) -> None:
    path = tmp_path / "q.qmp"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert "timed out" in ask_monitor("q", str(path), timeout=0.1).warnings[0]


def test_without_a_monitor_the_vm_is_off(tmp_path: Path) -> None:
    assert ask_monitor("q", str(tmp_path / "none")) == QemuVm("q", "", running=False)


def test_this_machines_own_processes_can_be_read() -> None:
    assert isinstance(qemu_processes(), list)
