"""One stage for all documents: each test goes on where the one before it ended."""

from __future__ import annotations

import pytest

from tests.docs.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return the stage."""
    return Stage(tmp_path_factory.mktemp("controller"))
