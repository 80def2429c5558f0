"""What people meet at the demo's gateway: the log-in, the list, a VM's screen, and the way out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.browser.conftest import SCREENSHOTS
from tests.browser.viewer import READ_SCREEN, TIMEOUT_MS, Viewer, listen
from tests.browser.visit import violations
from tests.harness import demo, fleet

Record = dict[str, Any]

ASK = "path => fetch(path).then(async answer => [answer.status, await answer.text()])"


class Person:
    """Somebody with an account and a browser.

    Attributes:
        page: What they look at first: the list.
        complaints: Whatever a developer would see in red there.
    """

    def __init__(self, context: BrowserContext, gateway: str, account: Record) -> None:
        context.set_default_timeout(TIMEOUT_MS)
        context.add_init_script(READ_SCREEN)
        self.gateway, self.account = gateway, account
        self.complaints: set[str] = set()
        self.page = context.new_page()
        listen(self.page, self.complaints)

    def log_in(self, password: str = "") -> None:
        """Fill the form that whoever has not logged in is shown."""
        self.page.goto(self.gateway)
        self.page.get_by_label("User name").fill(self.account["name"])
        self.page.get_by_label("Password").fill(password or self.account["password"])
        # All of the page: whoever leaves it before breaks off the loading of its scripts.
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Log in").click()

    def consoles(self) -> list[Record]:
        """Return the consoles that they may open."""
        found: list[Record] = json.loads(self.ask("/consoles.json")[1])
        return found

    def ask(self, path: str) -> tuple[int, str]:
        """Return status and text of what the gateway answers to a script of its page."""
        status, text = self.page.evaluate(ASK, path)
        return status, text

    def open(self, console: Record) -> Viewer:
        """Type a VM's name into the list, and open it."""
        # Before the page's script runs, nobody hears the key.
        expect(self.page.get_by_label("Find a console")).to_be_visible()
        self.page.keyboard.press("/")
        self.page.keyboard.type(f"{console['vm']} {console['host']}")
        expect(self.page.locator("#hosts li:visible")).to_have_count(1)
        with self.page.expect_popup() as popup:
            self.page.keyboard.press("Enter")
        self.page.keyboard.press("Escape")
        return Viewer(popup.value, console["vm"])


@pytest.fixture(scope="session")
def gateway() -> str:
    """Return the gateway's address."""
    parts = urlsplit(demo.consoles()[0]["gateway_url"])
    return f"{parts.scheme}://{parts.netloc}"


@pytest.fixture
def people(browser: Browser, gateway: str) -> Iterator[list[Person]]:
    """Return the demo's accounts, each with a browser: who may all, some, only watch, nothing."""
    accounts = demo.accounts()
    with ExitStack() as stack:
        contexts = (stack.enter_context(browser.new_context()) for _ in accounts)
        yield [
            Person(context, gateway, account)
            for context, account in zip(contexts, accounts, strict=True)
        ]


def running(consoles: list[Record]) -> Record:
    """Return a console whose VM runs."""
    return next(one for one in consoles if one["state"] == "running")


def test_vm_is_found_by_typing_and_used(people: list[Person]) -> None:
    kim = people[0]
    kim.log_in()
    expect(kim.page.get_by_role("button", name="Log out")).to_be_visible()
    console = running(kim.consoles())
    viewer = kim.open(console)
    viewer.use()
    viewer.page.screenshot(path=SCREENSHOTS / "console.png")
    assert viewer.page.title() == f"{console['title']} · {console['host']}"

    # Who looks at it is on the list, for those who may control it.
    row = kim.page.locator("#hosts li", has_text=console["vm"]).first
    expect(row.locator(".audience")).to_have_text(kim.account["name"])
    kim.page.screenshot(path=SCREENSHOTS / "portal.png")
    assert kim.complaints | viewer.complaints == set()
    assert violations(kim.page) == []
    assert violations(viewer.page) == []


def test_who_watches_sees_the_same_and_cannot_type(people: list[Person]) -> None:
    kim, _, watcher, _ = people
    kim.log_in()
    watcher.log_in()
    console = running([one for one in watcher.consoles() if one["may"] == "watch"])
    watching, using = watcher.open(console), kim.open(console)
    watching.see_guest()
    expect(watching.page.get_by_text("watch only")).to_be_visible()
    expect(watching.page.get_by_role("button", name="Ctrl-Alt-Del")).to_be_hidden()

    using.see_guest()
    using.page.locator("#screen canvas").click()
    using.clear_echo()
    watching.page.locator("#screen canvas").click()
    watching.page.keyboard.press("x")
    using.type_name()  # which fails if there is any other letter
    watching.see_echo()


def test_text_is_pasted(people: list[Person]) -> None:
    kim = people[0]
    kim.log_in()
    viewer = kim.open(running(kim.consoles()))
    viewer.see_guest()
    viewer.page.locator("#screen canvas").click()
    viewer.clear_echo()
    viewer.page.get_by_role("button", name="Paste as keystrokes").click()
    viewer.page.get_by_label("Text", exact=True).fill(viewer.vm)
    viewer.page.get_by_role("button", name="Type it").click()
    viewer.see_echo()


def test_log_out_ends_the_consoles(people: list[Person]) -> None:
    kim = people[0]
    kim.log_in()
    viewer = kim.open(running(kim.consoles()))
    viewer.see_guest()
    kim.page.get_by_role("button", name="Log out").click()
    expect(kim.page.get_by_role("button", name="Log in")).to_be_visible()
    expect(viewer.page.locator("#sentence")).to_have_text("You are logged out.")
    expect(viewer.page.locator("#screen canvas")).to_have_count(0)

    # The way back leads to the same console.
    viewer.page.get_by_role("link", name="Log in").click()
    viewer.page.get_by_label("User name").fill(kim.account["name"])
    viewer.page.get_by_label("Password").fill(kim.account["password"])
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_url("**/vm/**")
    viewer.see_guest()


def test_wrong_password_lets_nobody_in(people: list[Person]) -> None:
    kim = people[0]
    kim.log_in("wrong")
    expect(kim.page.get_by_role("alert")).to_be_visible()
    expect(kim.page.get_by_label("Password")).to_have_value("")
    assert kim.ask("/consoles.json")[0] == 401


def test_everybody_sees_what_they_may_and_no_more(people: list[Person]) -> None:
    everything: list[Record] = []
    for person in people:
        person.log_in()
        listed = person.page.locator("#hosts li .name").all_text_contents()
        mine = person.consoles()
        assert sorted(listed) == sorted(one["vm"] for one in mine)
        everything = everything or mine
        hidden = [one for one in everything if one["uuid"] not in {own["uuid"] for own in mine}]
        assert bool(hidden) == (person is not people[0])
        for one in hidden:
            names = (one["vm"], one["uuid"], "there-is-no-such-vm")
            answers = {person.ask(f"/vm/{quote(name, safe='')}/") for name in names}
            assert [status for status, _ in answers] == [404]
    expect(people[-1].page.get_by_text("There is no console that you may open.")).to_be_visible()


def test_vm_that_is_switched_off_says_so_and_comes_back(people: list[Person]) -> None:
    kim = people[0]
    kim.log_in()
    console = running(kim.consoles())
    machine = fleet.hosts()[console["host"]]
    viewer = kim.open(console)
    viewer.see_guest()
    row = kim.page.locator("#hosts li", has_text=console["vm"]).first
    try:
        machine.check_output("systemctl stop qemu-vm@%s", console["vm"])
        expect(viewer.page.locator("#state")).to_have_text("off", timeout=TIMEOUT_MS)
        expect(viewer.page.locator("#sentence")).to_contain_text(console["vm"])
        expect(row.locator(".state")).to_have_text("off", timeout=TIMEOUT_MS)
    finally:
        machine.check_output("systemctl start qemu-vm@%s", console["vm"])
    viewer.see_guest()
    expect(row.locator(".state")).to_have_text("running", timeout=TIMEOUT_MS)


def test_novncs_own_page_shows_it_too(people: list[Person]) -> None:
    kim = people[0]
    kim.log_in()
    viewer = kim.open(running(kim.consoles()))
    viewer.see_guest()
    viewer.page.get_by_role("link", name="noVNC").click()
    viewer.page.wait_for_url("**/vnc.html*")
    viewer.use()
    assert viewer.complaints == set()
