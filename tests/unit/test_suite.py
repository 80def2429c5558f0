"""What the suite says at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.suite import Counts, one, read_junit

REPORT = """
<testsuites><testsuite tests="3" failures="1" errors="1" skipped="0">
<testcase classname="tests.x" name="test_fine"/>
<testcase classname="tests.x" name="test_broken"><failure message="AssertionError: no
 door&#10;assert 1 == 2"/></testcase>
<testcase classname="tests.x" name="test_unset"><error message="{long}"/></testcase>
</testsuite></testsuites>
"""


def test_what_failed_is_named_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    file.write_text(REPORT.format(long="x" * 1000))
    counts = read_junit(file)
    assert str(counts) == "1 passed, 2 failed, 0 skipped"
    broken, unset = counts.failures
    assert broken == "tests.x::test_broken: AssertionError: no door assert 1 == 2"
    assert unset == f"tests.x::test_unset: {'x' * 300}"


@pytest.mark.parametrize(
    "text", [None, "<testsuites/>", '<testsuites><testsuite tests="0"/></testsuites>']
)
def test_a_run_without_a_test_has_failed(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "report.xml"
    if text:
        file.write_text(text)
    assert read_junit(file).failed == 1


def test_failures_are_kept_when_counts_are_added() -> None:
    counts = Counts()
    counts.add(one(passed=False, what="mypy"))
    counts.add(one(passed=True, what="ruff"))
    assert (counts.passed, counts.failed, counts.failures) == (1, 1, ["mypy"])
