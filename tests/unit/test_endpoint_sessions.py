"""Sessions counted, bounded and told of; processes that find each other."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp.web import AppRunner
from novnc_endpoint.control import Control
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


ENDED = {"session": "a", "bytes_in": 1, "bytes_out": 10}


def test_what_another_process_has_counted_is_told_and_not_counted() -> None:
    async def inherit() -> Sessions:
        sessions = Sessions(Limits(), 2)
        sessions.inherit([{**ENDED, "number": 7}, {**ENDED, "session": "b", "number": 9}])
        sessions.keep(ENDED)
        return sessions

    found = asyncio.run(inherit())
    assert [(one["number"], one["session"]) for one in found.ended] == [(1, "a"), (2, "b")]
    assert found.last == 2
    assert not +found.totals


@pytest.mark.parametrize("drained", [False, True])
def test_a_process_leaves_what_has_ended_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drained: bool
) -> None:
    runners: list[AppRunner] = []

    def runner(*args: Any, **kwargs: Any) -> AppRunner:
        runners.append(AppRunner(*args, **kwargs))
        return runners[-1]

    monkeypatch.setattr("novnc_endpoint.control.web.AppRunner", runner)

    async def follow() -> tuple[Control, Sessions]:
        first = Sessions(Limits(), 2)
        control = Control(str(tmp_path), first, lambda: None)
        await control.open()
        session = first.begin("web01", "u", KIM, "a")
        if drained:  # and nobody is there who could be told
            control.hand_over()
            control.leave()
        session.end(1001, "the endpoint has been stopped")
        await control.left()
        if not drained:
            control.hand_over()
        control.close()
        second = Sessions(Limits(), 2)
        control = Control(str(tmp_path), second, lambda: None)
        await control.open()
        for one in runners:  # which end with their processes elsewhere
            await one.cleanup()
        return control, second

    control, second = asyncio.run(follow())
    (told,) = second.ended
    assert (told["session"], told["reason"]) == ("a", "the endpoint has been stopped")
    assert sorted(os.listdir(tmp_path)) == sorted([f"{control.boot}.sock", MAIN])


def test_what_is_left_behind_is_read_once_and_if_it_can_be(tmp_path: Path) -> None:
    first, second, third = (Others(str(tmp_path), name) for name in ("first", "second", "third"))
    first.leave_behind([ENDED, ENDED])
    first.leave_behind([ENDED])
    second.leave_behind([ENDED])
    (tmp_path / "broken.sock.left").write_text("{")
    assert third.left_behind() == [ENDED, ENDED]
    assert third.left_behind() == []
    assert os.listdir(tmp_path) == []


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
