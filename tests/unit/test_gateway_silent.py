# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Consoles on hosts that are silent, or whose libvirt hangs."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from novnc_directory.consoles import UNHEARD

from tests.harness.directory import ORIGIN, Directory, Visitor
from tests.harness.simulated import Endpoints
from tests.unit.conftest import change, is_ended, opened, sees, vm


def is_seen(directory: Directory, console: str) -> None:
    """Wait until a console's endpoint has told the directory of it."""
    with closing(sqlite3.connect(directory.run / "state.db")) as db:
        question = "SELECT seen FROM consoles WHERE id = ?"
        while db.execute(question, (console,)).fetchone() != (1,):
            pass


def test_what_never_reached_a_silent_host_counts_no_longer(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    directory.settings["max_consoles_per_user"] = 2
    directory.reload()
    console = opened(directory, hosts, ada)
    is_seen(directory, console)
    hosts["kvm1"].silent = True
    directory.wait_for("host-silent")
    phantom = ada.console("db")
    assert ada.open("/vm/mail/websockify").status == 403
    directory.stop()
    change(directory, "UPDATE consoles SET begun = begun - 60")
    directory.start()
    end = directory.wait_for("console-end")
    assert (end["id"], end["reason"]) == (phantom, UNHEARD)
    # The other one is still open, whether or not anybody hears of it.
    assert [one["id"] for one in directory.control("GET", "/sessions").json] == [console]
    assert [ada.open("/vm/mail/websockify").status for _ in range(2)] == [204, 403]
    hosts["kvm1"].begin(phantom, vm="db", uuid=vm("db")["uuid"], user="ada", mode="control")
    hosts["kvm1"].silent = False
    assert directory.wait_for("console-found")["id"] == phantom
    hosts["kvm1"].end(console, "the visitor closed the console")
    assert directory.wait_for("console-end")["id"] == console


def test_sessions_are_heard_of_where_libvirt_hangs(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    closed, hers, his = (opened(directory, hosts, one) for one in (ada, ada, bob))
    hosts["kvm1"].hung = True
    assert directory.wait_for("host-silent")["reason"].startswith("it answers 503: ")
    sees(ada, "db", "unknown")
    hosts["kvm1"].end(closed, "the visitor closed the console")
    end = directory.wait_for("console-end")
    assert (end["id"], end["bytes_out"]) == (closed, 1000)
    bob.ask("POST", "/logout", Origin=ORIGIN)
    is_ended(hosts, his)
    assert directory.wait_for("console-end")["id"] == his
    assert [one["id"] for one in directory.control("GET", "/sessions").json] == [hers]
    hosts["kvm1"].hung = False
    directory.wait_for("host-answers")
    sees(ada, "db", "running")
