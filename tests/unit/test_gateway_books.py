# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Every console that the directory has let in is in its books, or ends."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import pytest
from novnc_directory import consoles
from novnc_directory.accounts import Accounts
from novnc_directory.consoles import NO_HOST, Consoles
from novnc_directory.openings import Openings
from novnc_directory.settings import read_settings
from novnc_directory.store import Store

from tests.harness.directory import ORIGIN, TIMEOUT, Directory, Visitor
from tests.harness.simulated import Endpoints
from tests.unit.conftest import change, is_ended, names, opened, sees, vm

OTHERS = "f" * 32
"""A session of another gateway."""


@pytest.fixture
def lost(directory: Directory, hosts: Endpoints, bob: Visitor) -> str:
    """Return a console that its endpoint has known nothing of for a while."""
    console = opened(directory, hosts, bob)
    hosts["kvm1"].begin(OTHERS, vm="db", uuid=vm("db")["uuid"], user="bob", mode="control")
    directory.stop()
    del hosts["kvm1"].sessions[console]
    change(directory, "UPDATE consoles SET begun = begun - 60")
    directory.start()
    end = directory.wait_for("console-end")
    assert (end["id"], end["reason"]) == (console, "its endpoint knows nothing of it")
    return console


def turns_up(hosts: Endpoints, console: str) -> None:
    """Let a console of bob's reach its endpoint after all."""
    hosts["kvm1"].begin(console, vm="db", uuid=vm("db")["uuid"], user="bob", mode="control")


def test_a_console_that_turns_up_late_is_in_the_books(
    directory: Directory, hosts: Endpoints, bob: Visitor, lost: str
) -> None:
    turns_up(hosts, lost)
    assert directory.wait_for("console-found")["id"] == lost
    (told,) = directory.control("GET", "/sessions").json
    assert (told["id"], told["user"], told["mode"]) == (lost, "bob", "control")
    directory.reload()  # which ends whatever may not be
    assert set(hosts["kvm1"].sessions) == {lost, OTHERS}
    bob.ask("POST", "/logout", Origin=ORIGIN)
    is_ended(hosts, lost)
    assert directory.wait_for("console-end")["bytes_out"] == 1000
    assert set(hosts["kvm1"].sessions) == {OTHERS}


def test_a_console_that_turns_up_after_the_log_out_ends_at_once(
    directory: Directory, hosts: Endpoints, bob: Visitor, lost: str
) -> None:
    bob.ask("POST", "/logout", Origin=ORIGIN)
    turns_up(hosts, lost)
    is_ended(hosts, lost)
    assert directory.wait_for("console-end")["reason"] == "ended by the gateway: the log-in is over"
    assert set(hosts["kvm1"].sessions) == {OTHERS}


def test_a_console_that_was_lost_and_has_ended_is_told_of(
    directory: Directory, hosts: Endpoints, bob: Visitor, lost: str
) -> None:
    turns_up(hosts, lost)
    hosts["kvm1"].end(lost, "the visitor closed the console")
    while (end := directory.wait_for("console-end"))["reason"] != "the visitor closed the console":
        pass
    assert (end["id"], end["bytes_out"]) == (lost, 1000)
    assert directory.control("GET", "/sessions").json == []


def test_a_console_of_which_nothing_is_known_any_more_ends(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    hosts["kvm1"].begin(OTHERS, vm="db", uuid=vm("db")["uuid"], user="bob", mode="control")
    directory.stop()
    (directory.run / "state.db").write_bytes(b"rubbish")
    directory.start()
    damaged = directory.wait_for("state-damaged")["reason"]
    assert "everybody logs in anew" in damaged
    assert (directory.run / "state.db.damaged").read_bytes() == b"rubbish"
    is_ended(hosts, console)
    end = directory.wait_for("console-end")
    assert (end["id"], end["user"], end["vm"]) == (console, "bob", "db")
    assert set(hosts["kvm1"].sessions) == {OTHERS}
    assert bob.ask("GET", "/consoles.json").status == 401
    assert bob.log_in().status == 303
    directory.stop()
    directory.start()
    assert bob.ask("GET", "/consoles.json").status == 200


def test_a_console_that_shows_another_vm_ends(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    (wrong, right, none) = (bob.console("db") for _ in range(3))
    hosts["kvm1"].begin(none, vm="db", uuid="", user="bob", mode="control")
    hosts["kvm1"].begin(right, vm="x", uuid=vm("db")["uuid"].upper(), user="bob", mode="control")
    hosts["kvm1"].begin(wrong, vm="db", uuid=vm("web")["uuid"], user="bob", mode="control")
    is_ended(hosts, wrong)
    end = directory.wait_for("console-end")
    assert end["reason"].endswith("it shows another VM than it was opened for")
    assert set(hosts["kvm1"].sessions) == {right, none}


# Hosts that leave the fleet


def test_a_silent_host_that_leaves_is_told_when_it_speaks_again(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    hosts["kvm1"].silent = True
    address = directory.settings["endpoints"].pop("kvm1")
    directory.reload()
    assert names(bob) == []
    assert bob.open("/vm/db/websockify").status == 403
    assert {one["host"] for one in ada.ask("GET", "/portal.json").json["hosts"]} == {"kvm2"}
    assert [one["id"] for one in directory.control("GET", "/sessions").json] == [console]
    hosts["kvm1"].silent = False
    is_ended(hosts, console)
    assert directory.wait_for("console-end")["reason"].endswith(NO_HOST)
    directory.settings["endpoints"]["kvm1"] = address
    directory.reload()
    sees(bob, "db", "running")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_host_that_leaves_while_the_directory_is_away_ends_what_it_had(
    directory: Directory, hosts: Endpoints, bob: Visitor, number: int
) -> None:
    console = opened(directory, hosts, bob)
    directory.stop(number)
    del directory.settings["endpoints"]["kvm1"]
    directory.start()
    is_ended(hosts, console)
    assert directory.wait_for("console-end")["reason"].endswith(NO_HOST)


def test_what_a_host_that_leaves_told_is_gone_at_once(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    sees(ada, "web", "running")
    opened(directory, hosts, bob)
    hosts["kvm1"].silent = True
    del directory.settings["endpoints"]["kvm1"]
    # It cannot be asked any more, and new settings wait for that.
    directory.settings["ca"] = "/nowhere"
    directory.reload("reload-failed")
    assert {vm for vm, _ in names(ada)} == {"both", "mail", "zwei Wörter"}


def test_a_host_that_has_left_and_stays_silent_is_forgotten(
    directory: Directory, hosts: Endpoints, bob: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = opened(directory, hosts, bob)
    hosts["kvm1"].silent = True
    directory.stop()
    del directory.settings["endpoints"]["kvm1"]
    directory.write()
    settings = read_settings(str(directory.run / "gateway.json"))
    monkeypatch.setattr(consoles, "_SEEN_OFF_IN", 0.0)

    async def run() -> None:
        store = Store(settings.state)
        found = Consoles(settings, store, Accounts(settings.accounts).get)
        await found.use(settings)
        assert set(found.fleet.leaving) == {"kvm1"}
        assert [one.id for one in found] == [console]
        watch = asyncio.create_task(found.watch())
        while found.fleet.leaving:
            await asyncio.sleep(0.01)
        watch.cancel()
        assert list(found) == []
        assert set(store.endpoints) == {"kvm2"}
        await found.fleet.close()
        store.close()

    asyncio.run(asyncio.wait_for(run(), TIMEOUT))


def test_a_host_is_no_sooner_silent_than_its_vms_are_unknown(
    directory: Directory, ada: Visitor
) -> None:
    assert ada
    directory.write()
    settings = read_settings(str(directory.run / "gateway.json"))

    async def run() -> None:
        store = Store(settings.state)
        books = Consoles(settings, store, settings.accounts.get)
        found = Openings(books, store, settings.accounts.get)
        await books.use(settings)
        await books.fleet.refresh()
        states = {vm.state for vm in found.listing(settings.accounts["ada"]).vms}
        assert states == {"running", "off"}
        for host in books.fleet.hosts.values():
            assert host.answer
            host.answer = replace(host.answer, at=0.0)  # and nothing else has happened
        assert all(host.silent for host in books.fleet.hosts.values())
        assert {vm.state for vm in found.listing(settings.accounts["ada"]).vms} == {"unknown"}
        await books.fleet.close()
        store.close()

    asyncio.run(asyncio.wait_for(run(), TIMEOUT))


# How many


def test_one_watcher_does_not_fill_a_vm(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    directory.settings["max_consoles_per_vm"] = 8
    directory.settings["rules"] += [
        {"match": "web", "watch": ["everyone"], "control": ["user:dora"]}
    ]
    watchers = [directory.visitor(name) for name in ("wim", "noor", "eve")]
    dora, odd = directory.visitor("dora"), directory.visitor("odd")
    directory.reload()
    for one in (*watchers, dora, odd):
        assert one.log_in().status == 303
    sees(bob, "web", "running")
    for one in watchers:
        assert [one.open("/vm/web/websockify").status for _ in range(3)] == [204, 204, 403]
    sentence = watchers[0].ask("GET", "/vm/web/state.json").json["sentence"]
    assert sentence == "You have 2 consoles of web open, as many as you may have."
    assert odd.open("/vm/web/websockify").headers["X-Console-Refusal"] == "full"
    assert "6 people watch web" in odd.ask("GET", "/vm/web/state.json").json["sentence"]
    assert [one.open("/vm/web/websockify").status for one in (dora, ada)] == [204, 204]
    assert "8 viewers" in ada.ask("GET", "/vm/web/state.json").json["sentence"]


def test_one_who_may_control_leaves_room_for_an_administrator(
    directory: Directory, ada: Visitor, bob: Visitor
) -> None:
    directory.settings["max_consoles_per_vm"] = 4
    directory.reload()
    sees(bob, "db", "running")
    assert [bob.open("/vm/db/websockify").status for _ in range(4)] == [204, 204, 204, 403]
    assert [ada.open("/vm/db/websockify").status for _ in range(2)] == [204, 403]
    assert [ada.open("/vm/mail/websockify").status for _ in range(5)] == [204] * 4 + [403]


# What cannot be written


def test_a_full_disk_lets_nobody_in_and_throws_nobody_out(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    directory.disk_is_full()
    for _ in range(3):
        assert ada.log_in().status == 503
        assert bob.open("/vm/db/websockify").status == 503
    assert "nobody new gets in until" in directory.wait_for("state-broken")["reason"]
    assert names(bob) == [("both", "control"), ("db", "control"), ("web", "watch")]
    directory.reload()
    assert set(hosts["kvm1"].sessions) == {console}
    bob.ask("POST", "/logout", Origin=ORIGIN)
    assert bob.ask("GET", "/consoles.json").status == 401
    is_ended(hosts, console)
    directory.disk_is_full(full=False)
    assert bob.log_in().status == 303
    directory.wait_for("state-works")
    told = [one["event"] for one in directory.lines]
    assert (told.count("state-broken"), told.count("failed")) == (1, 0)


def test_ids_bear_the_mark_of_their_gateway(directory: Directory, bob: Visitor) -> None:
    ids = [bob.console("db") for _ in range(3)]
    assert len(set(ids)) == 3
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in ids)
    mark = (directory.run / "state.mark").read_text()
    assert all(one.startswith(mark) for one in ids)
