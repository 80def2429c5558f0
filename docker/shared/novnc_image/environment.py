# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What is written for a container in its environment."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from typing import NoReturn

BAD_VALUE = 2
"""Exit status where what is written cannot work."""


class WrittenError(Exception):
    """Something that is written cannot work; a sentence with the value and the mend."""


def value(environ: Mapping[str, str], name: str, default: str = "") -> str:
    """Return a variable's value, or what stands in the file that ``<name>_FILE`` names.

    Raises:
        WrittenError: Both are set, or the file cannot be read.
    """
    path = environ.get(f"{name}_FILE", "")
    if path and environ.get(name):
        raise WrittenError(f"{name} and {name}_FILE are both set; write one of them")
    if not path:
        return environ.get(name, "").strip() or default
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip() or default
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise WrittenError(f"{name}_FILE is {path!r}, which cannot be read: {reason}") from None


def refuse(error: WrittenError) -> NoReturn:
    """Say what is wrong, and end. Raises SystemExit."""
    print(error, file=sys.stderr)
    raise SystemExit(BAD_VALUE)


def _end(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def run(start: Callable[[], object]) -> None:
    """Call a program's start; what cannot work ends it with one sentence. Raises SystemExit."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # The first process of a container gets only those that it has a handler for.
        signal.signal(number, _end)
    try:
        start()
    except WrittenError as error:
        refuse(error)
