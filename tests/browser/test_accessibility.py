"""The gateway's pages for everybody: axe-core has nothing to say, in any colours or width."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.stage import Stage, host, vm
from tests.browser.visit import Visit, connected, console_at, uuid, violations
from tests.browser.vnc import ENDED, Vnc


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_axe_has_nothing_to_say(portal: Stage, visit: Visit, scheme: str, width: int) -> None:
    options: dict[str, Any] = {
        "color_scheme": scheme,
        "viewport": {"width": width, "height": 800},
        "reduced_motion": "reduce",
    }
    portal.show(
        vm("kvm1", "web01", "Web server", viewers=[{"user": "lee", "mode": "watch"}]),
        vm("kvm1", "db01", may="watch"),
        vm("kvm2", "win10", state="off"),
        vm("kvm2", "mail01", state="unknown"),
    )
    portal.hosts[1] = host("kvm2", silent=True, age=40)
    portal.sentences[uuid(portal)] = "web01 is switched off."
    page = visit(portal.url, **options)
    assert violations(page) == []
    page.get_by_role("searchbox").fill("web")
    page.keyboard.press("ArrowDown")
    assert violations(page) == []
    for path in ("/login", "/login?error=No.", "/nowhere"):
        assert violations(visit(portal.url + path, **options)) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_has_nothing_to_say_of_a_console(stage: Stage, visit: Visit, scheme: str) -> None:
    vnc = Vnc()
    page = visit(console_at(stage, vnc), color_scheme=scheme)
    connected(page)
    assert violations(page) == []
    page.get_by_role("button", name="Paste as keystrokes").click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    vnc.password = "geheim"  # noqa: S105 (a test's own)
    vnc.end(ENDED, "ended by lee")
    expect(page.locator("#sentence")).to_have_text("ended by lee")
    assert violations(page) == []
    page.get_by_role("button", name="Connect again").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
