"""A console's page in a browser, whatever its VNC server says."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.stage import Stage
from tests.browser.viewer import wait_until
from tests.browser.visit import HOSTILE, Visit, connected, console_at, uuid
from tests.browser.vnc import ENDED, Vnc

PASSWORD = "geheim"  # noqa: S105 (of a VNC server that is a test's own)
RETURN, TAB, SHIFT, CONTROL, ALT, DELETE = 0xFF0D, 0xFF09, 0xFFE1, 0xFFE3, 0xFFE9, 0xFFFF


def test_console_says_what_it_is(stage: Stage, visit: Visit) -> None:
    page = visit(console_at(stage, Vnc()))
    connected(page)
    assert page.title() == "Web server · kvm1"
    for text in ("Web server", "web01", "kvm1", "running"):
        expect(page.locator("header").get_by_text(text, exact=True)).to_be_visible()
    expect(page.get_by_text("watch only")).to_be_hidden()
    assert visit.complaints == set()


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_title_of_a_console_is_text(portal: Stage, visit: Visit, title: str) -> None:
    page = visit(console_at(portal, None, title))
    assert page.locator("h1").text_content() == title
    assert page.locator("h1").get_attribute("title") == title
    bare = " ".join(re.sub("[\t\u202a-\u202e\u2066-\u2069]", "", title).split())
    assert page.title() == f"{bare} · kvm1"
    assert page.evaluate("window.pwned") is None
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_refusal_is_shown_as_it_was_said(stage: Stage, visit: Visit) -> None:
    vnc = Vnc(refusal='the VM "grün" is <b>stopped</b>'.encode("latin-1"))
    page = visit(console_at(stage, vnc))
    sentence = page.locator("#sentence")
    expect(sentence).to_have_text('the VM "grün" is <b>stopped</b>')
    expect(page.get_by_role("button", name="Ctrl-Alt-Del")).to_be_disabled()
    vnc.refusal = b""
    page.get_by_role("button", name="Connect again").click()
    connected(page)


def test_console_opens_by_itself_once_novnc_can_be_loaded(stage: Stage, visit: Visit) -> None:
    url = console_at(stage, Vnc())
    page = visit(stage.url)
    page.route("**/core/websock.js", lambda route: route.abort())
    page.goto(url)
    sentence = page.locator("#sentence")
    expect(sentence).to_have_text("noVNC could not be loaded.")
    with page.expect_event("load"):
        pass
    expect(sentence).to_have_text("noVNC could not be loaded.")

    page.evaluate("window.loadedNoMore = true")
    stage.answers = False
    page.get_by_role("button", name="Connect again").click()
    expect(sentence).to_have_text("The gateway does not answer.")
    assert page.evaluate("window.loadedNoMore")
    page.unroute_all()
    stage.answers = True
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # it would wait longer
    connected(page)


def test_console_opens_by_itself_once_its_vm_is_started(stage: Stage, visit: Visit) -> None:
    url = console_at(stage, None, state="off")
    stage.sentences[uuid(stage)] = "web01 is switched off."
    page = visit(url)
    expect(page.locator("#sentence")).to_have_text("web01 is switched off.")
    expect(page.locator("#state")).to_have_text("off")

    stage.vnc[uuid(stage)] = Vnc()
    stage.sentences.clear()
    stage.consoles[0]["state"] = "running"
    connected(page)
    expect(page.locator("#state")).to_have_text("running")


def test_console_comes_back_after_its_vm_was_restarted(stage: Stage, visit: Visit) -> None:
    vnc = Vnc()
    page = visit(console_at(stage, vnc))
    connected(page)
    vnc.end(1001, "the VNC server of web01 closed the connection")
    expect(page.locator("#sentence")).to_have_text("the VNC server of web01 closed the connection")
    connected(page)


def test_console_that_somebody_ended_stays_so_until_it_is_wanted(
    stage: Stage, visit: Visit
) -> None:
    vnc = Vnc()
    page = visit(console_at(stage, vnc))
    connected(page)
    vnc.end(ENDED, "ended by lee")
    expect(page.locator("#sentence")).to_have_text("ended by lee")
    expect(page.locator("#outlook")).to_be_hidden()
    stage.consoles[0]["may"] = "watch"
    page.get_by_role("button", name="Connect again").click()
    connected(page)
    # The right may be another one since.
    expect(page.get_by_text("watch only")).to_be_visible()
    expect(page.get_by_role("button", name="Ctrl-Alt-Del")).to_be_hidden()
    assert len(stage.opened) == 2


def test_log_out_and_a_console_that_is_gone_are_told(stage: Stage, visit: Visit) -> None:
    vnc = Vnc()
    url = console_at(stage, vnc)
    page = visit(url)
    connected(page)
    stage.logged_in = False
    vnc.end(ENDED, "kim has logged out")
    expect(page.locator("#sentence")).to_have_text("You are logged out.")
    link = page.get_by_role("link", name="Log in")
    path = url.removeprefix(stage.url).replace("/", "%2F")
    assert link.get_attribute("href") == f"/login?next={path}"

    gone, stage.consoles = stage.consoles, []
    stage.logged_in = True
    expect(page.locator("#sentence")).to_contain_text("There is no such console")
    expect(page.locator("#state")).to_have_text("unknown")
    stage.answers = False
    stage.consoles = gone
    expect(page.locator("#sentence")).to_have_text("The gateway does not answer.")
    stage.answers = True
    expect(page.get_by_role("link", name="Log in")).to_be_hidden()


def test_vnc_password_is_asked_for(stage: Stage, visit: Visit) -> None:
    page = visit(console_at(stage, Vnc(password=PASSWORD)))
    dialog = page.get_by_role("dialog", name="This VM asks for a VNC password")
    field = dialog.get_by_label("VNC password", exact=True)
    expect(field).to_be_focused()
    expect(dialog.get_by_role("alert")).to_have_count(0)
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("Authentication failed")
    expect(field).to_be_focused()
    expect(field).to_have_value("")

    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("#sentence")).to_have_text("This VM asks for a VNC password.")
    page.get_by_role("button", name="Connect again").click()
    expect(field).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    connected(page)
    assert page.url.startswith(stage.url)
    assert PASSWORD not in page.content()

    # Whoever has been let in once is not asked again.
    stage.vnc[uuid(stage)].end(1001, "restarted")
    expect(page.locator("#notice")).to_be_visible()
    connected(page)


def strokes(text: str) -> list[tuple[int, bool]]:
    """Return the key events of a text without capitals."""
    return [(ord(letter), down) for letter in text for down in (True, False)]


FOCUSED_AT_ONCE = """() => {
  const dialog = document.querySelector("#paste-dialog");
  new MutationObserver(() => {
    if (!dialog.open) window.focusedAtOnce = document.activeElement.tagName;
  }).observe(dialog, {attributes: true});
}"""
"""Remembers what has the focus once the dialog is closed, before any key can come."""


def test_text_is_pasted_as_keystrokes(stage: Stage, visit: Visit) -> None:
    vnc = Vnc()
    page = visit(console_at(stage, vnc))
    connected(page)
    page.get_by_role("button", name="Paste as keystrokes").click()
    dialog = page.get_by_role("dialog", name="Paste as keystrokes")
    button = dialog.get_by_role("button", name="Type it")
    expect(button).to_be_disabled()
    dialog.get_by_label("Text").fill("aB\r\nü\t\x1b$")
    expect(dialog.get_by_role("status")).to_have_text("The VM may not get these: ü \x1b")
    page.evaluate(FOCUSED_AT_ONCE)
    button.click()
    expect(dialog).to_be_hidden()
    down, up = (SHIFT, True), (SHIFT, False)
    expected = [
        *strokes("a"),
        *(down, *strokes("B"), up),
        *((RETURN, True), (RETURN, False)),
        *strokes("ü"),
        *((TAB, True), (TAB, False)),
        *(down, *strokes("$"), up),
    ]
    page.keyboard.press("z")  # it goes to the VM again, and all before it has arrived
    assert page.evaluate("focusedAtOnce") == "CANVAS"
    expect(page.locator("#screen canvas")).to_be_focused()
    wait_until(page, lambda: vnc.keys[-1:] == [(ord("z"), False)])
    assert vnc.keys == [*expected, *strokes("z")]


def test_escape_stops_the_typing(stage: Stage, visit: Visit) -> None:
    vnc = Vnc()
    page = visit(console_at(stage, vnc))
    connected(page)
    page.get_by_role("button", name="Paste as keystrokes").click()
    dialog = page.get_by_role("dialog", name="Paste as keystrokes")
    text = "abcdefgh" * 600
    dialog.get_by_label("Text").evaluate("element => { element.focus(); element.select(); }")
    page.keyboard.insert_text(text)
    assert len(dialog.get_by_label("Text").input_value()) == 4096
    dialog.get_by_role("button", name="Type it").click()
    expect(dialog.get_by_role("progressbar")).to_be_visible()
    wait_until(page, lambda: len(vnc.keys) > 6)
    page.evaluate(FOCUSED_AT_ONCE)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("focusedAtOnce") == "CANVAS"
    expect(page.locator("#screen canvas")).to_be_focused()
    # Nothing comes between the keys that are pressed from now on.
    pressed = strokes("z" * 10)
    for count in range(2, len(pressed) + 1, 2):
        page.keyboard.press("z")
        wait_until(page, lambda: vnc.keys[-count:] == pressed[:count])  # noqa: B023 (called here)
    typed = vnc.keys[: -len(pressed)]
    assert typed == strokes(text)[: len(typed)]
    assert len(typed) < 8000


def test_ctrl_alt_del_is_sent(stage: Stage, visit: Visit) -> None:
    vnc = Vnc()
    page = visit(console_at(stage, vnc))
    connected(page)
    page.get_by_role("button", name="Ctrl-Alt-Del").click()
    wait_until(page, lambda: len(vnc.keys) == 6)
    keys = (CONTROL, ALT, DELETE)
    assert vnc.keys == [(key, True) for key in keys] + [(key, False) for key in reversed(keys)]


def test_who_watches_sends_nothing(stage: Stage, visit: Visit) -> None:
    vnc, other = Vnc(), Vnc()
    page = visit(console_at(stage, vnc, may="watch"))
    connected(page)
    expect(page.get_by_text("watch only")).to_be_visible()
    for name in ("Ctrl-Alt-Del", "Paste as keystrokes"):
        expect(page.get_by_role("button", name=name)).to_be_hidden()
    page.locator("#screen canvas").click()
    page.keyboard.press("x")

    # The same on a console that one may control, to see that it would have arrived.
    page = visit(console_at(stage, other))
    connected(page)
    page.locator("#screen canvas").click()
    page.keyboard.press("x")
    wait_until(page, lambda: other.keys == strokes("x") and other.pointed > 0)
    assert (vnc.keys, vnc.pointed) == ([], 0)


def test_full_screen(stage: Stage, visit: Visit) -> None:
    page = visit(console_at(stage, Vnc()))
    connected(page)
    page.get_by_role("button", name="Full screen").click()
    expect(page.locator("#stage:fullscreen")).to_be_visible()
    expect(page.locator("#screen canvas")).to_be_focused()


def test_link_to_the_page_of_novnc_itself(stage: Stage, visit: Visit) -> None:
    page = visit(console_at(stage, Vnc()))
    connected(page)
    link = page.get_by_role("link", name="noVNC").get_attribute("href") or ""
    path, _, fragment = link.partition("#")
    assert path == f"/novnc/{stage.version}/vnc.html"
    console = f"vm%2F{uuid(stage)}%2Fwebsockify"
    relative = "..%2F..%2F" if stage.version == "1.6.0" else ""
    assert fragment == f"autoconnect=true&resize=scale&path={relative}{console}"
