"""Sessions counted, bounded and told of; processes that find each other."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from novnc_endpoint.others import MAIN, Others
from novnc_endpoint.session import Limits, Visitor
from novnc_endpoint.sessions import FullError, Sessions

KIM = Visitor("kim", "192.0.2.1", "control", frozenset({"gateway"}))


def test_a_vm_has_as_many_sessions_as_it_may() -> None:
    async def begin() -> None:
        sessions = Sessions(Limits(), 2)
        sessions.begin("web01", "u", KIM)
        sessions.begin("db01", "v", KIM)
        with pytest.raises(FullError, match="web01 has 2 sessions"):
            sessions.begin("web01", "u", KIM, elsewhere=[{"uuid": "u", "session": "x"}])
        sessions.begin("web01", "u", KIM)

    asyncio.run(begin())


def test_who_is_only_to_hear_why_there_is_no_console_fills_no_place() -> None:
    async def begin() -> None:
        sessions = Sessions(Limits(), 2)
        for _ in range(5):
            sessions.begin("web01", "", KIM)

    asyncio.run(begin())


def test_an_end_that_is_told_twice_counts_once() -> None:
    async def keep() -> Sessions:
        sessions = Sessions(Limits(), 2)
        for identity in ("a", "a", "b"):
            sessions.keep({"session": identity, "bytes_in": 1, "bytes_out": 10})
        return sessions

    found = asyncio.run(keep())
    assert [one["session"] for one in found.ended] == ["a", "b"]
    assert (found.totals["bytes_in"], found.totals["bytes_out"]) == (2, 20)


def test_when_the_newest_process_goes_one_that_is_left_is_found(tmp_path: Path) -> None:
    processes = {name: Others(str(tmp_path), name) for name in ("old", "new")}
    for one in processes.values():
        Path(one.path).touch()
        one.become_main()
    assert os.readlink(tmp_path / MAIN) == "new.sock"
    processes["new"].leave()
    assert os.readlink(tmp_path / MAIN) == "old.sock"
    processes["old"].leave()
    assert os.listdir(tmp_path) == []


def test_an_older_process_that_goes_changes_nothing(tmp_path: Path) -> None:
    old, new = (Others(str(tmp_path), name) for name in ("old", "new"))
    for one in (old, new):
        Path(one.path).touch()
        one.become_main()
    old.leave()
    assert sorted(os.listdir(tmp_path)) == [MAIN, "new.sock"]
    assert os.readlink(tmp_path / MAIN) == "new.sock"
