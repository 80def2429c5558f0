"""The first process of a container, and what it makes of signals."""

from __future__ import annotations

import pytest
from novnc_image.environment import WrittenError
from novnc_service import supervisor


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
