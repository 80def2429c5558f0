"""The pure parts of `novnc-console`, its client of the endpoint, and what reads ss and X.509."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import pytest
import yaml
from ansible_collections.novnc.fleet.plugins.module_utils.connections import (
    Connection,
    parse_tcp,
    unix_inodes,
)
from ansible_collections.novnc.fleet.plugins.module_utils.diagnosis import (
    BrokenError,
    as_data,
    lines,
    walk,
)
from ansible_collections.novnc.fleet.plugins.module_utils.text_table import aligned
from ansible_collections.novnc.fleet.plugins.module_utils.vm import Vm, tcp_display
from ansible_collections.novnc.fleet.plugins.module_utils.vms import Survey
from ansible_collections.novnc.fleet.plugins.module_utils.x509 import validity
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from novnc_console_command import VERSION
from novnc_console_command.cli import parser
from novnc_console_command.control import Control, ControlError
from novnc_console_command.hops import days_left, from_here
from novnc_console_command.host import Known, UsageError
from novnc_console_command.listing import listing, table
from novnc_console_command.sessions import table as sessions_table
from novnc_console_command.sessions import viewers

from tests.harness.certificates import self_signed
from tests.harness.project import ROOT

ONE, TWO = (f"{number}0000000-0000-4000-8000-000000000000" for number in (1, 2))


def vm(name: str, uuid: str, port: int = 5900) -> Vm:
    """Return a running VM."""
    return Vm(name, name, uuid, "running", "libvirt", (tcp_display("127.0.0.1", port),))


def known(*vms: Vm, consoles: dict[str, str] | None = None) -> Known:
    """Return what is known of a host with VMs, and consoles: name to uuid."""
    entries = [
        {"vm": name, "listen": f"192.0.2.1:{6000 + number}", "url": f"http://{name}/"}
        for number, name in enumerate(consoles or {})
    ]
    survey = Survey(list(vms), [], consoles or {}, True)
    endpoint = {"address": "192.0.2.1:16900"}
    return Known("kvm1", survey, entries, endpoint, {"192.0.2.1:6000"})


def test_its_version_is_the_collections() -> None:
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"] == VERSION


@pytest.mark.parametrize(
    "words", [["--help"], *([one, "--help"] for one in ("list", "sessions", "kill", "doctor"))]
)
def test_each_command_helps(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words)
    assert ended.value.code == 0
    assert "usage: novnc-console" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["", "kill", "kill a b", "list x", "list --j"])
def test_a_wrong_call_is_a_usage_fault(words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words.split())
    assert ended.value.code == 2


def test_a_vm_is_found_by_uuid_by_name_and_by_its_consoles_name() -> None:
    a, b = vm("a", ONE), vm(ONE, TWO)
    host = known(a, b, consoles={"shop": ONE})
    assert host.find("a") is a
    assert host.find(ONE.upper()) is a  # a uuid wins over a name
    assert host.find(TWO) is b
    assert host.find("shop") is a
    assert host.find("A") is None


def test_a_name_of_several_is_refused_with_their_uuids() -> None:
    with pytest.raises(UsageError, match=rf"2 VMs of kvm1 are called 'a'.*{ONE}, {TWO}"):
        known(vm("a", ONE), vm("a", TWO)).find("a")


def test_the_list_has_a_line_for_each_vm_and_warnings_below_it() -> None:
    odd = Vm("b\x1b[2J", "b", TWO, "off", "qemu", (), ("mind \x07 the gap",))
    entries = listing(known(odd, vm("a", ONE), consoles={"a": ONE, "again": ONE}))
    assert [one["vm"] for one in entries] == ["a", "b\x1b[2J"]
    assert [one["listening"] for one in entries[0]["direct"]] == [True, False]
    assert not any(one["endpoint"] for one in entries)
    assert table(entries) == [
        r"VM        STATE    SOURCE   VNC             ENDPOINT  CONSOLE",
        r"a         running  libvirt  127.0.0.1:5900  no        http://a/ http://again/"
        " (nothing listens)",
        r"b\x1b[2J  off      qemu     -               no        -",
        r"    mind \x07 the gap",
    ]


def test_a_host_without_vms_has_a_heading() -> None:
    assert len(table([])) == 1


def test_the_walk_ends_at_the_first_broken_hop() -> None:
    def broken() -> str:
        raise BrokenError("it is off", "start it")

    def never() -> str:
        pytest.fail("it went on")

    hops = walk([("vm", lambda: "fine"), ("rfb", broken), ("page", never)])
    assert as_data(hops) == {
        "hops": [
            {"hop": "vm", "ok": True, "detail": "fine", "mend": ""},
            {"hop": "rfb", "ok": False, "detail": "it is off", "mend": "start it"},
        ],
        "fault": "rfb",
    }
    assert lines(as_data(hops)["hops"]) == ["ok     vm   fine", "FAULT  rfb  it is off; start it"]
    assert as_data(walk([("vm", lambda: "fine")]))["fault"] is None


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=1))
def test_columns_are_aligned_and_harmless(rows: list[tuple[str, str, str]]) -> None:
    marked = aligned([(f"{a}|", f"{b}|", f"{c}|") for a, b, c in rows])
    assert all(line.isprintable() for line in marked)
    assert len({len(line) for line in aligned([(a, b, "|") for a, b, _ in rows])}) == 1


SS = """\
0 0      198.18.0.2:5900  198.18.0.9:4711  users:(("python3",pid=12,fd=4))
0 0       127.0.0.1:4712   127.0.0.1:5900  users:(("python3",pid=12,fd=8))
0 0  [::ffff:198.18.0.2]:5901  [::ffff:198.18.0.9]:9  users:(("p",pid=13,fd=4),("x",pid=14,fd=4))
0 0  [fe80::1%eth0]:5902  [fe80::2%eth0]:4714
"""


def test_connections_are_read_as_ss_prints_them() -> None:
    found = parse_tcp(SS)
    assert found[0] == Connection("198.18.0.2:5900", "198.18.0.9:4711", frozenset({12}))
    assert (found[2].local, found[2].processes) == ("198.18.0.2:5901", frozenset({13, 14}))
    assert (found[3].local, found[3].processes) == ("[fe80::1]:5902", frozenset())
    assert set(viewers("198.18.0.2:5900", found)) == {12}
    assert set(viewers("198.18.0.2:5901", found)) == {13, 14}
    assert set(viewers("0.0.0.0:5901", found)) == set(viewers("[::]:5901", found)) == {13, 14}
    assert viewers("198.18.0.3:5900", found) == {}


def test_connected_unix_sockets_are_read_as_the_kernel_prints_them() -> None:
    text = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 7584694\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 7584695 /run/a b\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 7584696 /run/a b\n"
    )
    assert unix_inodes(text) == {7584694, 7584696}


def der(start: datetime.datetime, end: datetime.datetime) -> bytes:
    """Return a certificate."""
    pem, _key = self_signed("192.0.2.1", start, end)
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


UTC = datetime.timezone.utc  # noqa: UP017 (hypothesis wants the same everywhere)
YEARS = st.datetimes(
    datetime.datetime(1951, 1, 1), datetime.datetime(2150, 1, 1), timezones=st.just(UTC)
).map(lambda moment: moment.replace(microsecond=0))


@given(st.tuples(YEARS, YEARS).map(sorted).filter(lambda two: two[0] < two[1]))
def test_a_certificates_validity_is_read(moments: list[datetime.datetime]) -> None:
    assert validity(der(*moments)) == tuple(moments)


@given(st.binary(max_size=60), st.integers(0, 300))
def test_what_is_no_certificate_is_said_to_be_none(noise: bytes, length: int) -> None:
    whole = der(
        datetime.datetime(2020, 1, 1, tzinfo=UTC), datetime.datetime(2060, 1, 1, tzinfo=UTC)
    )
    for data in (noise, whole[:length]):
        with pytest.raises(ValueError):  # noqa: PT011
            validity(data)


def test_days_are_counted_and_what_is_not_valid_is_said() -> None:
    start, end = (datetime.datetime(2026, 1, day, tzinfo=UTC) for day in (1, 31))
    assert days_left(start, end, end - datetime.timedelta(days=5, hours=1)) == 5
    with pytest.raises(ValueError, match="expired on 2026-01-31"):
        days_left(start, end, end + datetime.timedelta(seconds=1))
    with pytest.raises(ValueError, match="from 2026-01-01 on"):
        days_left(start, end, start - datetime.timedelta(seconds=1))


@pytest.mark.parametrize(
    ("listen", "place"),
    [
        ("192.0.2.1:16900", "192.0.2.1:16900"),
        ("0.0.0.0:16900", "127.0.0.1:16900"),
        ("[::]:16900", "[::1]:16900"),
    ],
)
def test_a_wildcard_is_reached_by_loopback(listen: str, place: str) -> None:
    assert str(from_here(listen)) == place


SESSION = {"session": "0123456789abcdef", "vm": "a", "uuid": ONE, "user": "jürgen", "seconds": 4.2}


class Handler(BaseHTTPRequestHandler):
    """The endpoint's side of its control socket."""

    asked: list[tuple[str, str, str]] = []  # noqa: RUF012

    def _answer(self, status: int, text: str = "") -> None:
        user = self.headers.get("X-Console-User", "")
        self.asked.append((self.command, self.path, user.encode("latin-1").decode()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        """Answer as the endpoint does."""
        assert self.path == "/sessions"
        self._answer(200, json.dumps([SESSION]))

    def do_DELETE(self) -> None:
        """End the one session that there is."""
        self._answer(204 if self.path == "/sessions/0123456789abcdef" else 404)

    def log_message(self, *_words: Any) -> None:
        """Say nothing: a visitor by a unix socket has no address to tell."""


class Broken(Handler):
    """One that is not well."""

    def do_GET(self) -> None:
        """Answer what nobody can use."""
        self._answer(200, "<html>")

    def do_DELETE(self) -> None:
        """Fail."""
        self._answer(500, "no")


def serve(path: Path, handler: type[Handler]) -> Iterator[str]:
    """Serve on a unix socket while the test runs."""
    handler.asked = []
    with UnixStreamServer(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield str(path)
        server.shutdown()
        thread.join()


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """Return the path of an endpoint's socket."""
    yield from serve(tmp_path / "main.sock", Handler)


@pytest.fixture
def broken_endpoint(tmp_path: Path) -> Iterator[str]:
    """Return the path of one that is not well."""
    yield from serve(tmp_path / "main.sock", Broken)


def test_the_endpoint_tells_its_sessions_and_ends_them(endpoint: str) -> None:
    control = Control(endpoint)
    assert control.sessions() == [SESSION]
    assert control.end("0123456789abcdef", "jürgen")
    assert not control.end("../sessions", "kim")
    assert Handler.asked[1:] == [
        ("DELETE", "/sessions/0123456789abcdef", "jürgen"),
        ("DELETE", "/sessions/..%2Fsessions", "kim"),
    ]
    shown = sessions_table(control.sessions())
    assert shown[1].split() == ["0123456789abcdef", "a", "-", "jürgen", "-", "-", "4"]


def test_without_an_endpoint_there_are_no_sessions(tmp_path: Path) -> None:
    control = Control(str(tmp_path / "main.sock"))
    assert control.sessions() == []
    assert not control.end("0123456789abcdef", "kim")


def test_an_endpoint_that_is_not_well_is_a_fault(broken_endpoint: str) -> None:
    control = Control(broken_endpoint)
    with pytest.raises(ControlError, match="answers 500 to DELETE /sessions/x: no"):
        control.end("x", "kim")
    with pytest.raises(ControlError, match="no list of sessions"):
        control.sessions()


def test_an_endpoint_that_has_died_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "main.sock"
    with UnixStreamServer(str(path), Handler):
        pass
    with pytest.raises(ControlError, match="Connection refused"):
        Control(str(path)).sessions()
