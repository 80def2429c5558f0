# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What survives a restart of the directory, and how long it counts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from novnc_directory.records import Answer, Console, Login, credential, login_id
from novnc_directory.settings import Address, Limits
from novnc_directory.store import Store
from novnc_directory.vms import Vm

ANSWER = Answer(3.0, (Vm("kvm1", "zwei Wörter", "u", "t", "off"), Vm("kvm1", "b", "v", "t", "off")))
CONSOLE = Console("c" * 32, "l" * 64, "kim", "192.0.2.7", "kvm1", "u", "web", "watch", 5.0)
OLD, NEW = (Address(address, 16900, "kvm1") for address in ("192.0.2.1", "192.0.2.2"))
LIMITS = Limits(idle=100, session=1000, per_user=1, per_vm=1)


def test_a_restart_forgets_nobody(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state.db"))
    token, _ = store.begin("kim", "scrypt$", "192.0.2.7", 7.0)
    store.open(CONSOLE)
    store.know("kim", "192.0.2.7", 7.0)
    for address in (OLD, NEW):
        store.keep_endpoint("kvm1", address)
        store.keep_endpoint("kvm2", address)
    store.keep_answer("kvm1", Answer(1.0, ()))
    store.keep_answer("kvm1", ANSWER)
    store.keep_answer("kvm2", ANSWER)
    store.forget_host("kvm2")
    store.close()
    again = Store(str(tmp_path / "state.db"))
    assert again.login(login_id(token)) == Login(
        login_id(token), "kim", credential("scrypt$"), "192.0.2.7", 7.0, 7.0
    )
    assert again.consoles() == [CONSOLE]
    assert again.answers == {"kvm1": ANSWER}
    assert again.endpoints == {"kvm1": NEW}
    assert again.places == [("kim", "192.0.2.7")]
    assert again.mark == store.mark


def test_the_cookie_is_not_in_the_database(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state.db"))
    tokens = [store.begin("kim", "scrypt$", "192.0.2.7", 7.0)[0] for _ in range(3)]
    store.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert login_id(tokens[0]).encode() in kept
    assert not any(token.encode() in kept for token in tokens)
    assert len(set(tokens)) == 3


def test_what_has_ended_is_gone(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state.db"))
    identity = store.begin("kim", "scrypt$", "192.0.2.7", 7.0)[1].id
    store.open(CONSOLE)
    store.end(identity)
    store.close_console(CONSOLE.id)
    assert (store.login(identity), store.logins(), store.consoles()) == (None, [], [])


def test_a_log_in_that_is_used_stays(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state.db"))
    identity = store.begin("kim", "scrypt$", "192.0.2.7", 0.0)[1].id
    for now in range(0, 1000, 99):
        (login,) = store.logins()
        assert not login.is_over(LIMITS, now)
        store.touch(login, now)
    assert store.logins()[0].id == identity
    assert store.logins()[0].is_over(LIMITS, 1001)


@pytest.mark.parametrize(
    ("now", "limits", "over"),
    [
        (100, LIMITS, False),
        (101, LIMITS, True),
        (1001, replace(LIMITS, idle=0), True),
        (999, replace(LIMITS, idle=0), False),
        (10**9, replace(LIMITS, idle=0, session=0), False),
    ],
)
def test_a_log_in_ends(now: float, limits: Limits, over: bool) -> None:
    assert Login("i", "kim", "c", "a", 0.0, 0.0).is_over(limits, now) is over


def test_a_restart_knows_which_consoles_were_seen(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state.db"))
    store.open(CONSOLE)
    store.keep(replace(CONSOLE, seen=True))
    store.close()
    assert [one.seen for one in Store(str(tmp_path / "state.db")).consoles()] == [True]


def test_tables_of_another_layout_are_made_anew(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state.db"))
    store.open(CONSOLE)
    store.close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert Store(str(tmp_path / "state.db")).consoles() == []


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def overwrite(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)


def spoil_an_answer(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("UPDATE answers SET vms = '[[1]]'")
    db.close()


@pytest.mark.parametrize("damage", [cut_short, overwrite, spoil_an_answer])
def test_what_is_damaged_is_set_aside(
    tmp_path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "state.db"
    store = Store(str(file))
    store.begin("kim", "scrypt$", "192.0.2.7", 7.0)
    store.keep_answer("kvm1", ANSWER)
    store.close()
    damage(file)
    again = Store(str(file))
    assert (again.logins(), again.consoles(), again.answers) == ([], [], {})
    assert again.mark == store.mark
    token, login = again.begin("kim", "scrypt$", "192.0.2.7", 7.0)
    assert again.login(login_id(token)) == login
    again.close()
    assert (tmp_path / "state.db.damaged").exists()
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "state-damaged"
    assert Store(str(file)).logins() == [login]


def test_what_is_out_of_reach_is_not_damaged(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "state.db"))
    store.close()
    with sqlite3.connect(tmp_path / "state.db") as db:
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            Store(str(tmp_path / "state.db"))
    db.close()
    assert not (tmp_path / "state.db.damaged").exists()


@pytest.mark.parametrize("damage", ["", "x", "GGGGGGGG", "1234567", "é"])
def test_a_mark_that_is_none_is_made_anew(tmp_path: Path, damage: str) -> None:
    first = Store(str(tmp_path / "state.db")).mark
    (tmp_path / "state.mark").write_text(damage)
    second = Store(str(tmp_path / "state.db")).mark
    assert first != second
    assert Store(str(tmp_path / "state.db")).mark == second
