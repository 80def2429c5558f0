"""README and documents: each command, in the order in which they are read, does what they say."""

from __future__ import annotations

import pytest

from tests.docs.stage import Stage
from tests.harness.manual import blocks
from tests.harness.project import ROOT

ORDER = [
    *("README", "docs/getting-started", "docs/change-control", "docs/upgrading"),
    *("docs/fleet", "docs/security"),
]
"""Of the other pages with commands, each has a test of its own, which comes after these."""


@pytest.mark.parametrize("page", ORDER)
def test_page_does_what_it_says(page: str, stage: Stage) -> None:
    stage.follow(blocks(ROOT / f"{page}.md"))
