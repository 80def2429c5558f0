"""What the integration tests stand on: the scenario's consoles, each in turn or by name."""

from __future__ import annotations

from collections.abc import Callable

import guest_image
import pytest

from tests.harness.fleet import Console, consoles

ALL = consoles()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that wants ``console`` each of them in turn."""
    wanted = {"console": ALL, "tls_console": [one for one in ALL if one.tls]}
    for name, found in wanted.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, found, ids=lambda one: f"{one.host}-{one.vm}")


@pytest.fixture
def by_name() -> Callable[[str], Console]:
    """Return a function that finds a console by its VM's name."""
    return lambda vm: next(one for one in ALL if one.vm == vm)


@pytest.fixture
def colour() -> Callable[[str], tuple[int, int, int]]:
    """Return the function that tells the background of a VM's screen."""
    return guest_image.colour
