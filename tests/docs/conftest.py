"""One stage for all documents: each test goes on where the one before it ended."""

from __future__ import annotations

import pytest

from tests.docs.stage import Stage


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return the stage, with the tools on its hosts that an administrator's have."""
    found = Stage(tmp_path_factory.mktemp("controller"))
    apt = "DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends"
    for host in found.hosts.values():
        host.check_output(f"command -v curl || (apt-get -qq update && {apt} install curl)")
    return found
