"""The gateway's pages: whatever people call their VMs is text, and links lead where they should."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novnc_directory import pages

HOSTILE = "</title></bdi>\"'><script>alert(1)</script>{{ 7*7 }}&lt;"


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text by element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element (html.parser calls this)."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note a text (html.parser calls this)."""
        self.texts.append((self.elements[-1][0] if self.elements else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def vm(**other: Any) -> dict[str, Any]:
    return {
        "host": "kvm1",
        "vm": "web01",
        "uuid": "11111111-2222-3333-4444-555555555555",
        "title": "Web server",
        "state": "running",
        "url": "/vm/web01/",
        "websocket": "/vm/web01/websockify",
        "may": "control",
        **other,
    }


def host(name: str = "kvm1", *, silent: bool = False, age: float | None = None) -> dict[str, Any]:
    return {"host": name, "silent": silent, "age": age}


def every_page(text: str) -> list[str]:
    """Return all pages, with a text wherever somebody else's may stand."""
    console = vm(host=text, vm=text, title=text, viewers=[{"user": text, "mode": "watch"}])
    other = {**console, "vm": "other", "may": "watch", "url": "/vm/other/"}
    return [
        pages.login_page(error=text, next=text),
        pages.portal_page(user=text, hosts=[host(text)], consoles=[console]),
        pages.console_page(console=other, novnc="/novnc/1.7.0"),
        pages.message_page(status=404, title=text, sentence=text),
        pages.again_page(url=f"/login?next={text}"),
    ]


@pytest.mark.parametrize("number", range(4))
def test_other_peoples_text_makes_no_element(number: int) -> None:
    hostile, harmless = (Elements(every_page(text)[number]) for text in (HOSTILE, "harmless"))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert [list(one) for _, one in hostile.elements] == [list(one) for _, one in harmless.elements]
    assert any(HOSTILE in text for _, text in hostile.texts)


@given(st.text(min_size=1))
def test_any_text_makes_no_element(text: str) -> None:
    for found, harmless in zip(every_page(text), every_page("harmless"), strict=True):
        tags = [tag for tag, _ in Elements(found).elements]
        assert tags == [tag for tag, _ in Elements(harmless).elements]


@pytest.mark.parametrize("page", every_page("harmless"))
def test_pages_obey_the_gateways_policy(page: str) -> None:
    found = Elements(page)
    for tag, attributes in found.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        link = attributes.get("src") or attributes.get("href") or attributes.get("action") or "/"
        assert link.startswith(("/", "data:image/svg+xml,")), f"{tag} leads to {link}"
        assert not link.startswith("//")
    assert not found.all("style")
    assert all(script.get("src") for script in found.all("script"))


@pytest.mark.parametrize("page", every_page("harmless"))
def test_forms_say_where_they_come_from(page: str) -> None:
    found = Elements(page)
    posts = [form for form in found.all("form") if form.get("method") == "post"]
    referrers = [meta["content"] for meta in found.all("meta") if meta.get("name") == "referrer"]
    assert referrers == ["same-origin"] * len(posts)


def test_portal_groups_by_host_in_the_order_it_is_told() -> None:
    page = pages.portal_page(
        user="kim",
        hosts=[host("b"), host("a", silent=True), host("c", silent=True, age=7300), host("none")],
        consoles=[vm(host="c"), vm(host="b"), vm(host="late")],
    )
    sections = [one["data-host"] for one in Elements(page).all("section")]
    assert sections == ["b", "a", "c", "late", ""]  # the last one is the template
    assert "has never answered" in page
    assert "silent for 2 h" in page


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_silence_is_told_as_people_say_it(seconds: float, said: str) -> None:
    hosts = [host(silent=True, age=seconds)]
    page = pages.portal_page(user="kim", hosts=hosts, consoles=[])
    assert f"silent for {said}<" in page


def test_links_keep_to_the_name_under_which_somebody_came() -> None:
    url = "https://gateway.example:8443/vm/a%20b%2Fc/"
    page = pages.portal_page(user="kim", hosts=[host()], consoles=[vm(url=url)])
    assert Elements(page).all("a")[0]["href"] == "/vm/a%20b%2Fc/"


def test_who_looks_is_told_once_each() -> None:
    viewers = [
        {"user": user, "mode": mode}
        for user, mode in (("lee", "control"), ("lee", "control"), ("ana", "watch"))
    ]
    page = pages.portal_page(user="kim", hosts=[host()], consoles=[vm(viewers=viewers)])
    assert ">lee, ana (watching)<" in page


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("1.3.0", "vm%2Fa%2520b%2Fwebsockify"),
        ("1.5.0", "vm%2Fa%2520b%2Fwebsockify"),
        ("1.6.0", "..%2F..%2Fvm%2Fa%2520b%2Fwebsockify"),
        ("1.10.0", "..%2F..%2Fvm%2Fa%2520b%2Fwebsockify"),
    ],
)
def test_novncs_own_page_is_told_the_path_as_its_version_reads_it(version: str, path: str) -> None:
    console = vm(url="https://gateway/vm/a%20b/", may="watch")
    page = pages.console_page(console=console, novnc=f"/novnc/{version}")
    link = Elements(page).all("a")[1]["href"]
    options = "autoconnect=true&resize=scale&view_only=true"
    assert link == f"/novnc/{version}/vnc.html#{options}&path={path}"


def test_window_titles_hold_nothing_that_turns_text_around() -> None:
    page = pages.console_page(console=vm(title="a\u202eb\u2069c\x07"), novnc="/novnc/1.7.0")
    assert "<title>abc · kvm1</title>" in page
