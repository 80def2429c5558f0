# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The first process of a container: starts its programs, passes signals on, and sees them off.

SIGHUP has everything read anew; what cannot be used is said, and what runs goes on as before.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from novnc_image.environment import WrittenError

LISTENER = 3  # sd_listen_fds(3)
_WATCHED = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
_PATIENCE = 8.0
"""Seconds in which programs have to end; docker gives ten to all of it."""
_RESTART_AFTER = 1.0
_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass
class Program:
    """One program, which takes SIGHUP once it has its handler, and unblocks it then.

    Attributes:
        name: What it is called in messages.
        command: Its arguments, the first a path.
        stop: The signal that ends it.
        listener: Its listening socket, which it gets as descriptor 3; None without one.
        vital: Whether the container ends with it; any other is started again.
    """

    name: str
    command: list[str]
    stop: signal.Signals = signal.SIGTERM
    listener: int | None = None
    vital: bool = True
    pid: int = 0

    def start(self) -> None:
        """Start it. Raises OSError."""
        actions = []
        if self.listener is not None:
            actions = [(os.POSIX_SPAWN_DUP2, self.listener, LISTENER)]
        self.pid = os.posix_spawn(
            self.command[0],
            self.command,
            os.environ,
            file_actions=actions,
            # One that comes before there is a handler would end the program; so it waits.
            setsigmask=[signal.SIGHUP],
        )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def supervise(programs: Sequence[Program], read_anew: Callable[[], object]) -> int:
    """Run programs until told to stop, or a vital one ends; return the exit status.

    Args:
        programs: What is to run.
        read_anew: Brings into force what is written; raises WrittenError.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    # Processes that programs leave behind are ours, even where another is the first process.
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for program in programs:
        program.start()
    while True:
        number = signal.sigwait(_WATCHED)
        if number == signal.SIGHUP:
            _reload(programs, read_anew)
        elif number == signal.SIGCHLD:
            if ended := _reap(programs):
                _say(f"{ended} has ended, and so does the container")
                _stop(programs)
                return 1
        else:
            _stop(programs)
            return 0


def _reload(programs: Sequence[Program], read_anew: Callable[[], object]) -> None:
    try:
        read_anew()
    except WrittenError as error:
        _say(f"nothing has changed: {error}")
        return
    except Exception as error:  # whatever it is, consoles that are open go on
        reason = " ".join(str(error).split())
        _say(f"nothing has changed: {type(error).__name__}: {reason}")
        return
    for program in programs:
        program.signal(signal.SIGHUP)
    _say("read anew")


def _reap(programs: Sequence[Program]) -> str:
    """Take note of processes that have ended; return a vital one's name, or nothing."""
    for pid in _ended():
        for program in programs:
            if program.pid != pid:
                continue
            program.pid = 0
            if program.vital:
                return program.name
            _say(f"{program.name} has ended, and is started again")
            time.sleep(_RESTART_AFTER)
            program.start()
    return ""


def _ended() -> list[int]:
    found = []
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            found.append(pid)
    return found


def _stop(programs: Sequence[Program]) -> None:
    """End all programs, and whatever they leave behind."""
    for program in programs:
        program.signal(program.stop)
    deadline = time.monotonic() + _PATIENCE
    with suppress(ChildProcessError):
        while (left := deadline - time.monotonic()) > 0:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
            signal.sigtimedwait({signal.SIGCHLD}, left)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
