"""The list of consoles in a browser, whatever the fleet is like."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.stage import Stage, host, vm
from tests.browser.visit import HOSTILE, Visit

SHOWN = """
Array.from(document.querySelectorAll("#hosts *"), element => [
  element.tagName,
  Object.fromEntries(Array.from(element.attributes, ({name, value}) => [name, value])),
  element.children.length ? "" : element.textContent,
])
"""
"""All of the list but the space between its elements."""


def rows(page: Page) -> Locator:
    return page.locator("#hosts li:visible")


def titles(page: Page) -> list[str]:
    return page.locator("#hosts li:visible .title").all_text_contents()


def wait_for_news(page: Page) -> None:
    """Wait until the page has asked for what is new, and shown it."""
    with page.expect_request("**/portal.json") as asked:
        pass
    answer = asked.value.response()
    assert answer
    answer.finished()
    page.evaluate("new Promise(requestAnimationFrame)")


def test_list_is_complete_without_a_script(portal: Stage, visit: Visit) -> None:
    portal.show(
        vm("kvm1", "web01", "Web server", viewers=[{"user": "lee", "mode": "watch"}]),
        vm("kvm1", "db01", may="watch"),
        vm("kvm2", "win10", state="off"),
    )
    portal.hosts[1] = host("kvm2", silent=True, age=40)
    page = visit(portal.url, java_script_enabled=False)

    headings = page.locator("h2").all_inner_texts()
    assert [" ".join(text.split()) for text in headings] == ["kvm1", "kvm2 silent for 40 s"]
    assert [" ".join(row.split()) for row in rows(page).all_inner_texts()] == [
        "Web server web01 lee (watching) running",
        "db01 watch only running",
        "win10 off",
    ]
    links = rows(page).locator("a")
    assert [link.get_attribute("href") for link in links.all()] == [
        console["url"] for console in portal.consoles
    ]
    assert {link.get_attribute("target") for link in links.all()} == {"_blank"}
    assert {link.get_attribute("rel") for link in links.all()} == {"noopener"}
    expect(page.get_by_role("searchbox")).to_have_count(0)


def test_hostile_names_are_text_with_and_without_a_script(portal: Stage, visit: Visit) -> None:
    portal.user = HOSTILE[0]
    portal.show(*(vm(HOSTILE[0], name, HOSTILE[-1 - i]) for i, name in enumerate(HOSTILE)))
    portal.consoles[0]["viewers"] = [{"user": name, "mode": "control"} for name in HOSTILE]
    page = visit(portal.url)
    before = page.evaluate(SHOWN)

    wait_for_news(page)

    # The script shows nothing otherwise than the server did, nor what it hears of later.
    assert page.evaluate(SHOWN) == before
    consoles, portal.consoles = portal.consoles, []
    wait_for_news(page)
    assert titles(page) == []
    portal.consoles = consoles
    wait_for_news(page)
    assert page.evaluate(SHOWN) == before
    assert titles(page) == list(reversed(HOSTILE))
    assert page.locator(".name").all_text_contents() == list(HOSTILE)
    assert page.locator(".user").text_content() == HOSTILE[0]
    assert page.locator(".audience").first.text_content() == ", ".join(HOSTILE)
    assert page.evaluate("window.pwned") is None
    assert visit.complaints == set()
    # Nothing sticks out, on a phone either, and no name turns its neighbour around.
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for row in rows(page).all():
        boxes = [row.locator(part).bounding_box() for part in ("a", ".state")]
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)


def test_console_is_found_and_opened_by_keys_alone(portal: Stage, visit: Visit) -> None:
    portal.show(
        vm("kvm1", "web01", "Web server"),
        vm("kvm1", "mail01", "Relay", state="off"),
        vm("kvm2", "mail02", "Mail, spare"),
        vm("kvm2", "db01", may="watch"),
    )
    page = visit(portal.url)

    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("MAIL")
    assert titles(page) == ["Relay", "Mail, spare"]
    expect(page.get_by_role("status")).to_have_text("2 of 4 consoles")
    page.keyboard.type(" kvm2")
    assert titles(page) == ["Mail, spare"]
    assert page.locator("h2:visible").all_inner_texts() == ["kvm2"]

    page.keyboard.press("Escape")
    assert len(titles(page)) == 4
    for words, found in (("watch", ["db01"]), ("off", ["Relay"]), ("none of these", [])):
        page.get_by_role("searchbox").fill(words)
        assert titles(page) == found
    expect(page.locator("#none")).to_have_text("No console matches “none of these”.")

    page.get_by_role("searchbox").fill("mail")
    for _ in range(3):  # the last one stays where it is
        page.keyboard.press("ArrowDown")
    expect(rows(page).nth(1).locator("a")).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("ArrowDown")
    for opens in (1, 0):
        # The one that has the focus; in the search field, the first.
        with page.expect_popup() as popup:
            page.keyboard.press("Enter")
        assert popup.value.url == portal.url + portal.consoles[1]["url"]
        assert popup.value.evaluate("window.opener") is None
        popup.value.close()
        if opens:
            page.get_by_role("searchbox").focus()


def test_list_lives_and_nobody_loses_their_place(portal: Stage, visit: Visit) -> None:
    portal.show(*(vm("kvm1", f"vm{number:02}") for number in range(40)), vm("kvm2", "other"))
    page = visit(portal.url)
    focused = page.get_by_role("link", name="vm30")
    focused.focus()
    place = focused.bounding_box()
    assert page.evaluate("scrollY") > 0

    portal.consoles[0]["state"] = "off"
    portal.consoles[1]["title"] = "Renamed"
    portal.consoles[2]["may"] = "watch"
    portal.consoles[3]["viewers"] = [{"user": "lee", "mode": "control"}]
    portal.hosts[1] = host("kvm2", silent=True, age=3700)
    wait_for_news(page)
    assert rows(page).nth(0).locator(".state").inner_text() == "off"
    assert rows(page).nth(1).locator("a").inner_text().split() == ["Renamed", "vm01"]
    expect(rows(page).nth(2).get_by_text("watch only")).to_be_visible()
    assert rows(page).nth(3).locator(".audience").inner_text() == "lee"
    assert page.locator(".silence:visible").all_inner_texts() == ["silent for 61 min"]
    expect(focused).to_be_focused()
    assert focused.bounding_box() == place

    # One goes, one comes, and the one in focus moves to another host.
    del portal.consoles[39]
    moved = portal.consoles.pop(30)
    portal.consoles += [{**moved, "host": "kvm3"}, vm("kvm3", "new")]
    portal.hosts.append(host("kvm3"))
    wait_for_news(page)
    assert page.locator("section").nth(2).locator(".title").all_inner_texts() == ["vm30", "new"]
    assert "vm39" not in titles(page)
    expect(focused).to_be_focused()
    expect(page.get_by_role("status")).to_have_text("41 consoles")


def test_search_goes_on_for_what_comes_later(portal: Stage, visit: Visit) -> None:
    portal.show(vm("kvm1", "web01"))
    page = visit(portal.url)
    page.get_by_role("searchbox").fill("db")
    assert titles(page) == []
    portal.consoles += [vm("kvm1", "db01"), vm("kvm1", "web02")]
    wait_for_news(page)
    assert titles(page) == ["db01"]
    portal.consoles[0]["title"] = "Web and DB"
    wait_for_news(page)
    assert titles(page) == ["Web and DB", "db01"]


def test_who_may_open_nothing_is_told(portal: Stage, visit: Visit) -> None:
    page = visit(portal.url)
    expect(page.get_by_text("There is no console that you may open.")).to_be_visible()
    portal.show(vm("kvm1", "web01"))
    wait_for_news(page)
    expect(page.get_by_text("There is no console that you may open.")).to_be_hidden()
    assert titles(page) == ["web01"]


def test_gateway_that_does_not_answer_is_told(portal: Stage, visit: Visit) -> None:
    portal.show(vm("kvm1", "web01"))
    page = visit(portal.url)
    portal.answers = False
    expect(page.get_by_role("alert")).to_contain_text("The gateway does not answer.")
    assert titles(page) == ["web01"]
    portal.answers = True
    expect(page.get_by_role("alert")).to_have_count(0)

    portal.logged_in = False
    page.wait_for_url("**/login")
