"""The first process of a container, and what it makes of signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from novnc_endpoint.server import Server
from novnc_image.environment import WrittenError
from novnc_service import supervisor
from novnc_service.supervisor import Program

from tests.harness.directory import Directory

SLOW = """
import os, signal, time
time.sleep(0.5)
signal.signal(signal.SIGHUP, lambda *_: os._exit(7))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
time.sleep(30)
"""


@pytest.fixture
def blocked() -> Iterator[None]:
    """Block SIGHUP, as the first process does for what it starts."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_program_that_has_just_started_is_told_later() -> None:
    program = Program("slow", [sys.executable, "-c", SLOW])
    program.start()
    program.signal(signal.SIGHUP)
    assert os.waitstatus_to_exitcode(os.waitpid(program.pid, 0)[1]) == 7


@pytest.mark.usefixtures("blocked")
def test_the_endpoint_takes_it_with_its_handler() -> None:
    async def listen() -> set[int]:
        Server.__new__(Server)._listen_to_signals()
        return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    assert signal.SIGHUP not in asyncio.run(listen())


@pytest.mark.usefixtures("blocked")
def test_the_directory_takes_it_with_its_handler(directory: Directory) -> None:
    directory.start()
    assert directory.process
    status = Path(f"/proc/{directory.process.pid}/status").read_text()
    masks = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert not int(masks["SigBlk"], 16) & 1 << signal.SIGHUP - 1
    assert int(masks["SigCgt"], 16) & 1 << signal.SIGHUP - 1


@pytest.mark.parametrize(
    "error", [WrittenError("no port"), ValueError("no\nport"), IndexError("no port")]
)
def test_a_reload_that_fails_ends_nothing(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def read_anew() -> None:
        raise error

    supervisor._reload([], read_anew)
    said = capsys.readouterr().err
    assert said.startswith("nothing has changed: ")
    assert said.endswith("no port\n")
