"""One session of the endpoint, from one end to the other, and who is waited for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.frames import BINARY, encode_frame
from novnc_endpoint import session as session_module
from novnc_endpoint.ends import End
from novnc_endpoint.gate import Gate
from novnc_endpoint.session import Limits, Session, Visitor

from tests.unit.fakes import VERSION, server_init
from tests.unit.passage import CLIENT, SERVER, Piece

LIMITS = Limits(session=0, stall=30)
ALMOST, LATE = 29, 31
TYPES = 299
OK = bytes(4)
SERVER_IS_LATE = "the VNC server of web01 has said nothing for 30 s"
VISITOR_IS_LATE = "the visitor has said nothing for 30 s"
NOBODY_TYPES = "nobody has given the password of the VNC server"

LOGIN: list[tuple[Piece, str]] = [
    ((SERVER, b""), SERVER_IS_LATE),
    ((SERVER, VERSION), VISITOR_IS_LATE),
    ((CLIENT, VERSION), SERVER_IS_LATE),
    ((SERVER, b"\x01\x02"), VISITOR_IS_LATE),
    ((CLIENT, b"\x02"), SERVER_IS_LATE),
    ((SERVER, bytes(16)), NOBODY_TYPES),
    ((CLIENT, bytes(16)), SERVER_IS_LATE),
    ((SERVER, OK + server_init()), VISITOR_IS_LATE),
    ((CLIENT, b"\x01"), ""),
]
"""A handshake with a password, and after each step who is waited for."""


class Transport:
    """One that everything gets through."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args, **_kwargs: None

    def is_closing(self) -> bool:
        """Return that it is open."""
        return False


class Played:
    """A session at an hour that a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=lambda: self.now))
        visitor = Visitor("kim", "192.0.2.1", "control", frozenset({"gateway"}))
        self.session = Session("id", "web01", "u", visitor, lambda _session: None)
        self._server = self.session.server_end(Gate("control", None))
        for end in (self.session.client, self._server):
            end.connection_made(cast(Any, Transport()))

    def say(self, piece: Piece) -> None:
        """Have one side say something."""
        sender, data = piece
        end: End = self._server
        if sender == CLIENT:
            end, data = self.session.client, encode_frame(BINARY, data, b"mask")
        self.session.received(end, memoryview(data))

    def wait(self, seconds: float, limits: Limits = LIMITS) -> None:
        """Look at the limits after so many seconds."""
        self.now += seconds
        self.session.check(limits, self.now)

    async def farewell(self) -> str:
        """Return why it has ended, after the visitor's moment to leave."""
        while not self.session.reason:
            await asyncio.sleep(0)
        return self.session.reason


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_FAREWELL", 0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("steps", range(1, len(LOGIN)))
def test_who_stops_in_the_handshake_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    async def play() -> str:
        played = Played(monkeypatch)
        for piece, waited_for in LOGIN[:steps]:
            played.say(piece)
            played.wait(ALMOST)
            if waited_for == NOBODY_TYPES:
                played.wait(TYPES - ALMOST)
            assert not played.session.reason
        played.wait(LATE - ALMOST)
        return await asyncio.wait_for(played.farewell(), 5)

    assert asyncio.run(play()) == LOGIN[steps - 1][1]


@pytest.mark.parametrize(("stall", "ends"), [(0, False), (30, True), (400, False)])
def test_the_time_for_a_password_is_no_shorter_than_for_all_else(
    monkeypatch: pytest.MonkeyPatch, stall: float, ends: bool
) -> None:
    async def play() -> str:
        played = Played(monkeypatch)
        for piece, waited_for in LOGIN:
            played.say(piece)
            if waited_for == NOBODY_TYPES:
                break
        played.wait(350, Limits(session=0, stall=stall))
        return played.session.reason

    assert asyncio.run(play()) == NOBODY_TYPES * ends


def test_after_the_handshake_nobody_has_to_say_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> str:
        played = Played(monkeypatch)
        for piece, _waited_for in LOGIN:
            played.say(piece)
        for _ in range(100):
            played.wait(LATE)
        return played.session.reason

    assert asyncio.run(play()) == ""


def test_behind_a_login_that_nobody_can_read_nobody_is_hurried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play() -> str:
        played = Played(monkeypatch)
        for sender, data in ((SERVER, VERSION), (CLIENT, VERSION), (SERVER, b"\x01\x13")):
            played.say((sender, data))
        played.say((CLIENT, b"\x13"))
        played.wait(1000)
        return played.session.reason

    assert asyncio.run(play()) == ""


def test_what_nobody_asked_for_yet_buys_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> str:
        played = Played(monkeypatch)
        played.say((SERVER, VERSION))
        for _ in range(LATE):
            played.say((SERVER, b"x"))
            played.wait(1)
        return played.session.reason

    assert asyncio.run(play()) == VISITOR_IS_LATE
