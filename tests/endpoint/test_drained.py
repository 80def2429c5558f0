"""Sessions that an upgrade has left with the process that they were opened by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream

from tests.endpoint.conftest import GATEWAY, PKI, Endpoint, last_words, refusal
from tests.endpoint.test_process import SERVICE, main_pid
from tests.endpoint.test_reload import RELOAD, changed

CONTROL = "/run/novnc-endpoint/control"
ID = "0123456789abcdef0123456789abcdef"


@contextmanager
def drained(endpoint: Endpoint, vm: str = "web01") -> Iterator[ByteStream]:
    """Have a session of a process that has been told to stop."""
    with endpoint.open(vm, user="old", timeout=60) as stream:
        RfbClient(stream).handshake()
        endpoint.on.check_output(f"systemctl restart {SERVICE}")
        yield stream


def opened_as(endpoint: Endpoint, session: str) -> ByteStream:
    """Open a console as a gateway does that names the session. Raises HopError."""
    return open_console(
        f"wss://{endpoint.address}:16900/vm/{quote('web01')}/websockify",
        ca=str(PKI / "ca.crt"),
        identity=GATEWAY,
        headers={
            "X-Console-User": "kim",
            "X-Console-Mode": "control",
            "X-Console-Session": session,
        },
        timeout=30,
    )


def root_asks(endpoint: Endpoint, method: str, path: str) -> Any:
    """Return what a process says to root on its host; None for an answer without a text."""
    script = (
        "import http.client as h, socket as s; c = h.HTTPConnection('localhost');"
        f" c.sock = s.socket(s.AF_UNIX); c.sock.connect('{CONTROL}/main.sock');"
        f" c.request('{method}', '{path}', headers={{'X-Console-User': 'root'}});"
        " a = c.getresponse(); assert a.status < 300; print(a.read().decode())"
    )
    text = endpoint.on.check_output(f'python3 -c "{script}"')
    return json.loads(text) if text else None


def alone(endpoint: Endpoint) -> None:
    """Wait until there is one process only."""
    count = "$(pgrep -c -u novnc-endpoint)"
    endpoint.on.check_output(f"timeout 20 sh -c 'until [ {count} = 1 ]; do sleep 0.05; done'")


def ended(endpoint: Endpoint, after: int = 0) -> dict[str, Any]:
    """Return what the endpoint tells of sessions that have ended."""
    found: dict[str, Any] = json.loads(endpoint.ask(f"/sessions/ended?after={after}")[1])
    return found


def test_it_is_listed_counted_ended_and_told_of(plain: Endpoint) -> None:
    with drained(plain) as stream, plain.open("web01", user="new") as another:
        RfbClient(another).handshake()
        listed = {one["user"]: one["session"] for one in plain.sessions()}
        assert set(listed) == {"old", "new"}
        assert 'novnc_endpoint_sessions{mode="control"} 2\n' in plain.ask("/metrics")[1]
        path = f"/sessions/{listed['old']}"
        assert plain.ask(path, "DELETE", **{"X-Console-User": "boss"})[0] == 204
        assert "ended by boss" in last_words(stream)
        assert plain.ask(path, "DELETE")[0] == 404
        alone(plain)
        (told,) = [one for one in ended(plain)["sessions"] if one["session"] == listed["old"]]
        assert (told["user"], told["reason"]) == ("old", "ended by boss")
        assert told["bytes_out"] > 30
        assert len(plain.on.file(CONTROL).listdir()) == 2


def test_it_counts_for_its_vm(plain: Endpoint) -> None:
    with changed(plain, max_sessions_per_vm=1):
        plain.on.check_output(RELOAD)
        with drained(plain):
            assert refusal(lambda: plain.open("web01")).http_status == 503
            with plain.open("db01") as stream:
                assert RfbClient(stream).handshake().name == "QEMU (db01)"
        alone(plain)
        plain.open("web01").close()


@pytest.mark.parametrize("action", ["reload", "restart"])
def test_it_ends_with_the_name_it_was_opened_by(plain: Endpoint, action: str) -> None:
    with drained(plain) as stream, changed(plain, allowed_names=["another"]):
        plain.on.check_output(f"systemctl {action} {SERVICE}")
        assert "the certificate of gateway is no longer on the list" in last_words(stream)


def test_root_finds_all_of_them_at_one_socket(plain: Endpoint) -> None:
    assert plain.on.check_output(f"stat -c '%U %a' {CONTROL}") == "novnc-endpoint 700"
    with drained(plain) as first, plain.open("db01", user="new") as second:
        RfbClient(second).handshake()
        listed = {one["user"]: one["session"] for one in root_asks(plain, "GET", "/sessions")}
        assert set(listed) == {"old", "new"}
        plain.on.check_output(f"systemctl stop {SERVICE}")
        try:
            left = root_asks(plain, "GET", "/sessions")
            assert {one["user"] for one in left} == {"old", "new"}
            for user, stream in (("old", first), ("new", second)):
                root_asks(plain, "DELETE", f"/sessions/{listed[user]}")
                assert "ended by root" in last_words(stream)
        finally:
            plain.on.check_output(f"systemctl start {SERVICE}")


def test_who_was_ended_by_force_is_forgotten(plain: Endpoint) -> None:
    with drained(plain) as stream:
        found = plain.on.check_output("pgrep -u novnc-endpoint").split()
        (left,) = set(found) - {main_pid(plain)}
        plain.on.check_output(f"kill -KILL {left}")
        last_words(stream)
        assert plain.sessions() == []
        assert len(plain.on.file(CONTROL).listdir()) == 2


def test_a_gateway_names_its_session(plain: Endpoint) -> None:
    with opened_as(plain, ID) as stream:
        RfbClient(stream).handshake()
        assert [one["session"] for one in plain.sessions()] == [ID]
        assert refusal(lambda: opened_as(plain, ID)).http_status == 409
        plain.on.check_output(f"systemctl restart {SERVICE}")
        assert refusal(lambda: opened_as(plain, ID)).http_status == 409


@pytest.mark.parametrize("wrong", ["", ID[1:], ID + "0", ID.upper(), "../" + ID[3:]])
def test_a_session_has_no_other_name_than_an_id(plain: Endpoint, wrong: str) -> None:
    assert refusal(lambda: opened_as(plain, wrong)).http_status == 403


def test_ended_sessions_are_told_of_in_turn(plain: Endpoint) -> None:
    before = ended(plain)
    for user in ("first", "second"):
        with plain.open("web01", user=user) as stream:
            RfbClient(stream).handshake()
            (listed,) = [one for one in plain.sessions() if one["user"] == user]
            plain.ask(f"/sessions/{listed['session']}", "DELETE")
    now = ended(plain, before["last"])
    assert now["boot"] == before["boot"]
    assert [(one["number"], one["user"]) for one in now["sessions"]] == [
        (before["last"] + 1, "first"),
        (before["last"] + 2, "second"),
    ]
    assert now["last"] == before["last"] + 2
    assert [one["user"] for one in ended(plain, now["last"] - 1)["sessions"]] == ["second"]
    assert ended(plain, now["last"])["sessions"] == []
    assert plain.ask("/sessions/ended?after=x")[0] == 400
    plain.on.check_output(f"systemctl restart {SERVICE}")
    after = ended(plain)
    assert after["boot"] != before["boot"]
    assert [one["session"] for one in after["sessions"]][-2:] == [
        one["session"] for one in now["sessions"]
    ]
    assert len(plain.on.file(CONTROL).listdir()) == 2
