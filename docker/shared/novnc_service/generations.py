# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Files that services read, made anew as a whole: each time in a directory of their own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from novnc_image.environment import WrittenError


class Generations:
    """A directory below which each generation has one, and ``current`` leads to the newest."""

    def __init__(self, directory: str) -> None:
        """Use a directory; it is made if need be. Raises WrittenError."""
        self._directory = Path(directory)
        self.current = self._directory / "current"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._directory.glob("made-*"):
                shutil.rmtree(left)
        except OSError as error:
            raise WrittenError(
                f"{error.filename} cannot be written to by uid {os.getuid()}: {error.strerror};"
                " mount a tmpfs at /run"
            ) from None

    @contextmanager
    def another(self) -> Iterator[Path]:
        """Yield a new directory, which counts from the end on; unless an exception says no."""
        made = Path(tempfile.mkdtemp(prefix="made-", dir=self._directory))
        before = self.current.resolve() if self.current.is_symlink() else None
        try:
            yield made
            link = self._directory / "next"
            link.unlink(missing_ok=True)
            link.symlink_to(made.name)
            link.replace(self.current)
        except BaseException:
            shutil.rmtree(made)
            raise
        if before and before.parent == self._directory.resolve():
            shutil.rmtree(before, ignore_errors=True)


def write(path: Path, text: str) -> None:
    """Write a file that only this user reads; a crash leaves it whole, or as it was before."""
    descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
