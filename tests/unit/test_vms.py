"""VMs of all sources put together: each once, by uuid and by target."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils import vms, vms_asked
from ansible_collections.novnc.fleet.plugins.module_utils.notation import parse_target
from ansible_collections.novnc.fleet.plugins.module_utils.process import Process
from ansible_collections.novnc.fleet.plugins.module_utils.vm import (
    Vm,
    VmsError,
    made_uuid,
    tcp_display,
    unix_display,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_join import (
    join,
    typed_vm,
    with_console,
    with_warnings,
)
from ansible_collections.novnc.fleet.plugins.module_utils.vms_qemu import QemuVm
from ansible_collections.novnc.fleet.plugins.module_utils.vms_typed import (
    Typed,
    is_local,
    match,
    read_consoles,
)
from hypothesis import given
from hypothesis import strategies as st

ONE, TWO = (f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2))


def domain(name: str, uuid: str, port: int = 0, state: str = "running") -> Vm:
    """Return a VM of libvirt's."""
    displays = (tcp_display("127.0.0.1", port),) if port else ()
    return Vm(name, name, uuid, state, "libvirt", displays, expect_name=f"QEMU ({name})")


def process(name: str, port: int, uuid: str = "", password: bool = False) -> QemuVm:
    """Return a VM as its process tells of it."""
    return QemuVm(name, uuid, (tcp_display("127.0.0.1", port, 0, password),))


def console(name: str, vnc: str, expect_name: str = "", *, title: str = "") -> Typed:
    """Return a typed console."""
    expected = expect_name or f"QEMU ({name})"
    target = parse_target(vnc)
    return Typed(name, title or name, target, expected, bool(expect_name), True, is_local(target))


def test_a_domain_and_its_process_are_one_vm_and_its_password_is_told_of() -> None:
    (vm,) = join("kvm1", [domain("a", ONE, 5900)], [process("a", 5900, ONE, password=True)], [])
    assert vm.source == "libvirt"
    assert vm.displays == (tcp_display("127.0.0.1", 5900, 0, True),)


def test_a_display_that_only_the_process_knows_comes_after_libvirts() -> None:
    shown, hidden = (tcp_display("127.0.0.1", port) for port in (5900, 5907))
    (vm,) = join("kvm1", [domain("a", ONE, 5900)], [QemuVm("a", ONE, (hidden, shown))], [])
    assert vm.displays == (shown, hidden)
    (vm,) = join("kvm1", [domain("a", ONE)], [QemuVm("a", ONE, (hidden,))], [])
    assert vm.displays == (hidden,)


def test_where_a_domain_was_before_its_restart_is_no_display_of_it() -> None:
    (vm,) = join("kvm1", [domain("a", ONE, 5900)], [process("a", 5907, ONE)], [])
    assert [one.port for one in vm.displays] == [5900]


def test_a_vm_has_the_process_that_shows_it() -> None:
    own, before = Process(7, 100), Process(6, 90)
    domains = [domain("a", ONE, 5900), domain("b", TWO, 5901)]
    processes = [
        replace(process("a", 5900, ONE), process=own),
        replace(process("b", 5907, TWO), process=before),  # it was restarted in between
        replace(process("c", 5902), process=own),
    ]
    monitors = [process("c", 5909), process("d", 5904)]
    assert [vm.process for vm in join("kvm1", domains, processes, [])] == [own, None, own]
    assert [vm.process for vm in join("kvm1", domains, processes, monitors)][2:] == [None, None]


def test_a_process_of_a_domain_that_has_just_ended_is_no_vm_of_its_own() -> None:
    (vm,) = join("kvm1", [domain("a", ONE, state="off")], [process("a", 5900, ONE)], [])
    assert (vm.state, vm.displays) == ("off", ())


def test_plain_vms_have_their_own_uuid_or_one_that_stays() -> None:
    named, own = join("kvm1", [], [process("a", 5900), process("b", 5901, ONE)], [])
    assert named.uuid == made_uuid("kvm1", "a") != made_uuid("kvm2", "a")
    assert (own.uuid, own.source, own.expect_name) == (ONE, "qemu", "QEMU (b)")


def test_the_made_uuid_never_changes() -> None:
    assert made_uuid("kvm1", "web01") == "7becb290-028c-5d1d-a1f6-c4afecaeb830"


NAMES = st.sampled_from(["", "a", "b"])
UUIDS = st.sampled_from(["", ONE, TWO])
PROCESSES = st.lists(
    st.builds(process, NAMES, st.integers(5900, 65535), UUIDS), unique_by=lambda one: one.displays
)


@given(PROCESSES)
def test_no_two_vms_have_one_uuid(processes: list[QemuVm]) -> None:
    found = join("kvm1", [domain("a", TWO, 1)], processes, [])
    assert len({vm.uuid for vm in found}) == len(found)


def test_a_shared_uuid_or_name_is_told() -> None:
    a, b, c = join("kvm1", [], [process("a", 1, ONE), process("b", 2, ONE), process("c", 3)], [])
    assert ONE in a.warnings[0]
    assert ONE in b.warnings[0]
    assert c.warnings == ()
    one, two = join("kvm1", [], [process("a", 1), process("a", 2)], [])
    assert "called a too" in one.warnings[0]
    assert "called a too" in two.warnings[0]


def test_a_monitors_word_counts_more_than_the_command_line() -> None:
    told = process("a", 5907, ONE)
    (vm,) = join("kvm1", [], [process("a", 5900)], [told])
    assert (vm.uuid, [one.port for one in vm.displays]) == (ONE, [5907])
    (off,) = join("kvm1", [], [], [QemuVm("a", "", running=False)])
    assert off.state == "off"
    silent = QemuVm("a", "", warnings=("no use",), running=False)
    (vm,) = join("kvm1", [], [process("a", 5900)], [silent])
    assert (vm.state, vm.warnings, vm.displays[0].port) == ("running", ("no use",), 5900)
    (unknown,) = join("kvm1", [], [], [silent])
    assert unknown.state == "unknown"


def test_a_monitor_is_never_taken_for_a_domain_of_its_name() -> None:
    red, plain = process("a", 5900, ONE), process("a", 5901)
    vms_found = join("kvm1", [domain("a", ONE, 5900)], [red, plain], [process("a", 5901, TWO)])
    assert [(vm.source, vm.uuid) for vm in vms_found] == [("libvirt", ONE), ("qemu", TWO)]
    (vm,) = join("kvm1", [domain("a", ONE, 5900)], [red], [red])
    assert vm.source == "libvirt"


def test_a_console_belongs_to_the_vm_of_its_name_wherever_that_is_now() -> None:
    a, b = domain("a", ONE, 5901), domain("b", TWO, 5900)
    typed = [console("a", "127.0.0.1:5900"), console("b", "127.0.0.1:5901")]
    assert match(typed, [a, b]) == {"a": a, "b": b}


def test_without_its_name_it_belongs_to_the_vm_at_its_target() -> None:
    vm = domain("long-name", ONE, 5900)
    assert match([console("a", "localhost:5900")], [vm]) == {"a": vm}
    assert match([console("a", "127.0.0.1:5900", "QEMU (a)")], [vm]) == {}
    assert match([console("a", "127.0.0.1:5900", "QEMU (long-name)")], [vm]) == {"a": vm}
    assert match([console("a", "127.0.0.1:5901")], [vm]) == {}


def test_a_console_is_never_given_a_vm_that_has_its_own() -> None:
    vm = domain("b", ONE, 5900)
    typed = [console("a", "127.0.0.1:5900"), console("b", "127.0.0.1:5905")]
    assert match(typed, [vm]) == {"b": vm}


def test_what_runs_is_at_a_target_before_what_could() -> None:
    off, on = domain("off", ONE, 5900, "off"), domain("on", TWO, 5900)
    assert match([console("a", "127.0.0.1:5900")], [off, on]) == {"a": on}


def test_of_two_vms_of_one_name_the_one_at_the_target_is_meant() -> None:
    one, two = domain("a", ONE, 5900), domain("a", TWO, 5901)
    assert match([console("a", "127.0.0.1:5901")], [one, two]) == {"a": two}


def test_a_target_elsewhere_is_no_display_of_this_host() -> None:
    assert match([console("x", "192.0.2.1:5900")], [domain("a", ONE, 5900)]) == {}


def test_a_console_gives_title_and_a_name_to_who_has_none() -> None:
    vm = with_console("kvm1", domain("a", ONE, 5900), [console("a", "127.0.0.1:5900", title="T")])
    assert (vm.name, vm.title, vm.uuid, vm.warnings) == ("a", "T", ONE, ())
    (nameless,) = join("kvm1", [], [process("", 5900)], [])
    assert (nameless.name, nameless.expect_name) == ("127.0.0.1:5900", "QEMU")
    named = with_console("kvm1", nameless, [console("a", "127.0.0.1:5900")])
    assert (named.name, named.title, named.uuid) == ("a", "a", made_uuid("kvm1", "a"))
    assert with_console("kvm1", named, []) is named


def test_another_name_is_told() -> None:
    vm = with_console("kvm1", domain("long", ONE, 5900), [console("a", "127.0.0.1:5900")])
    assert (vm.name, vm.title) == ("long", "long")
    assert "called a shows it" in vm.warnings[0]


def test_a_title_is_given_to_the_vm_that_is_meant_only() -> None:
    vm = domain("long", ONE, 5900)
    shown = console("a", "127.0.0.1:5900", title="T")
    assert with_console("kvm1", vm, [shown]).title == "long"
    meant = with_console("kvm1", vm, [console("a", "127.0.0.1:5900", "QEMU (long)", title="T")])
    assert (meant.title, meant.warnings) == ("T", ())
    own = console("long", "127.0.0.1:5900", title="L")
    assert with_console("kvm1", vm, [shown, own]).title == "L"


def test_a_running_vm_without_a_display_takes_the_typed_one() -> None:
    one = console("a", "10.0.0.7:5900")
    assert with_console("kvm1", domain("a", ONE), [one]).displays[0].address == "10.0.0.7"
    assert with_console("kvm1", domain("a", ONE, state="off"), [one]).displays == ()


def test_a_vm_that_only_its_console_knows() -> None:
    vm = typed_vm("kvm1", console("a", "localhost:5900"), "off", [])
    assert (vm.source, vm.state, vm.uuid) == ("consoles", "off", made_uuid("kvm1", "a"))
    assert vm.displays == (tcp_display("127.0.0.1", 5900),)
    assert typed_vm("kvm1", console("a", "unix:/run/a"), "off", []).displays == (
        unix_display("/run/a"),
    )
    assert typed_vm("kvm1", console("a", "far:5900"), "off", []).displays[0].address == "far"


def test_a_known_vm_at_its_target_is_taken_for_it_by_its_name_only() -> None:
    one = console("web01", "localhost:5901")
    other = domain("db01", ONE, 5901)
    assert typed_vm("kvm1", one, "running", [other]).expect_name == "QEMU (web01)"
    assert typed_vm("kvm1", one, "running", []).expect_name is None


@pytest.mark.parametrize(
    ("listen", "target", "reached"),
    [
        ("127.0.0.1", "127.0.0.1:5900", True),
        ("127.0.0.1", "localhost:5900", True),
        ("127.0.0.1", "0.0.0.0:5900", True),
        ("127.0.0.1", "127.0.0.1:5901", False),
        ("127.0.0.1", "[::1]:5900", False),
        ("::1", "localhost:5900", True),
        ("0.0.0.0", "192.168.0.2:5900", True),
        ("0.0.0.0", "[::1]:5900", False),
        ("::", "127.0.0.1:5900", True),
        ("192.168.0.2", "127.0.0.1:5900", False),
        ("127.0.0.1", "unix:/run/a", False),
    ],
)
def test_which_targets_reach_a_display(listen: str, target: str, reached: bool) -> None:
    assert tcp_display(listen, 5900).is_reached_by(parse_target(target)) is reached


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("0.0.0.0", "127.0.0.1:5900"),
        ("::", "[::1]:5900"),
        ("::1", "[::1]:5900"),
        ("10.0.0.1", "10.0.0.1:5900"),
    ],
)
def test_a_displays_target_reaches_it(listen: str, target: str) -> None:
    display = tcp_display(listen, 5900)
    assert str(display.target) == target
    assert display.is_reached_by(display.target)
    assert str(unix_display("/run/a").target) == "unix:/run/a"


@pytest.mark.parametrize(
    ("display", "words"),
    [
        (tcp_display("0.0.0.0", 5900, 0, False), ["without a password"]),
        (tcp_display("10.0.0.1", 5900, 0, False), ["without a password"]),
        (tcp_display("0.0.0.0", 5900, 0, True), ["on all addresses"]),
        (tcp_display("::", 5900), ["on all addresses"]),
        (tcp_display("10.0.0.1", 5900, 0, True), []),
        (tcp_display("127.0.0.1", 5900, 0, False), []),
        (tcp_display("127.0.0.1", 5900, 5700, False), ["every Origin"]),
        (tcp_display("127.0.0.1", 5900, 5700, True), []),
        (unix_display("/run/a", False), []),
    ],
)
def test_who_lets_in_too_many_is_told(display: Any, words: list[str]) -> None:
    told = with_warnings(Vm("a", "a", ONE, "running", "qemu", (display,))).warnings
    assert len(told) == len(words)
    assert all(word in line for word, line in zip(words, told, strict=True))


def test_a_vm_is_found_by_uuid_before_name() -> None:
    a, b = domain(TWO, ONE), domain("b", TWO)
    assert vms.find_vm([a, b], TWO) is b
    assert vms.find_vm([a, b], TWO.upper()) is b
    assert vms.find_vm([a, b], "b") is b
    assert vms.find_vm([a, b], "B") is None


def test_what_has_the_form_of_a_uuid_is_no_name() -> None:
    called = domain(TWO, ONE)
    for text in (TWO, TWO.upper(), TWO.replace("-", ""), "{" + TWO + "}"):
        assert vms.find_vm([called, domain(text, ONE)], text) is None
    assert vms.find_vm([called], ONE) is called
    assert vms.vms_called([called], TWO) == [called]  # where people choose


def test_of_two_vms_of_one_name_neither_is_found_by_it() -> None:
    one, two = domain("a", ONE), domain("a", TWO, state="off")
    with pytest.raises(VmsError, match=f"2 VMs of this host are called a; .* {ONE} or {TWO}"):
        vms.find_vm([two, one], "a")
    assert vms.find_vm([two, one], ONE) is one
    assert vms.find_vm([domain(TWO, ONE), domain(TWO, TWO)], TWO).uuid == TWO  # type: ignore[union-attr]


def test_addresses_of_this_machine_are_known() -> None:
    for text in ("127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/x", "0.0.0.0:1"):
        assert is_local(parse_target(text)), text
    for text in ("192.0.2.1:1", "kvm9.example:1", "[2001:db8::1]:1"):
        assert not is_local(parse_target(text)), text


def entry(name: str, vnc: str) -> dict[str, Any]:
    """Return an entry of consoles.json."""
    own = {"host": "kvm1", "vm": name, "title": name, "vnc": vnc, "listen": ""}
    return {**own, "expect_name": f"QEMU ({name})", "expect_strict": False, "origins": []}


def test_the_typed_list_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "consoles.json"
    assert read_consoles(str(path)) == []
    path.write_text(json.dumps([entry("a", "127.0.0.1:5900")]))
    (one,) = read_consoles(str(path))
    assert (one.name, one.direct, one.local) == ("a", False, True)
    for text in ("{", "{}", '[{"vm": "a"}]', "[1]", json.dumps([entry("a", "nonsense")])):
        path.write_text(text)
        with pytest.raises(VmsError, match="writes it anew"):
            read_consoles(str(path))
    path.unlink()
    path.mkdir()
    with pytest.raises(VmsError, match="cannot be read"):
        read_consoles(str(path))


def test_a_typed_vm_is_off_where_nothing_listens_and_unknown_where_no_vnc_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vms, "libvirt_domains", lambda _timeout: None)
    monkeypatch.setattr(vms_asked, "ASK_TIMEOUT", 0.2)
    path = tmp_path / "consoles.json"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        typed = [entry("off", f"unix:{tmp_path}/none"), entry("mute", f"127.0.0.1:{port}")]
        path.write_text(json.dumps(typed))
        found = {vm.name: vm for vm in vms.find_vms("kvm1", consoles=str(path))}
    assert (found["off"].state, found["mute"].state) == ("off", "unknown")
