"""What the integration tests stand on: the scenario's direct consoles, each in turn or by name."""

from __future__ import annotations

from collections.abc import Callable

import guest_image
import pytest

from tests.harness.fleet import Console, consoles

ALL = consoles()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that wants ``console`` each of them in turn."""
    if "console" in metafunc.fixturenames:
        assert ALL, "the scenario has no direct console"
        metafunc.parametrize("console", ALL, ids=lambda one: f"{one.host}-{one.vm}")


@pytest.fixture
def by_name() -> Callable[[str], Console]:
    """Return a function that finds a console by its VM's name."""
    return lambda vm: next(one for one in ALL if one.vm == vm)


@pytest.fixture
def colour() -> Callable[[str], tuple[int, int, int]]:
    """Return the function that tells the background of a VM's screen."""
    return guest_image.colour
