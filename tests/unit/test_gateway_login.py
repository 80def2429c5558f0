# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The log-in: by links from elsewhere, in several windows, and by a flood."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.novnc.fleet.plugins.module_utils.passwords import hash_password

from tests.harness.directory import ORIGIN, Directory, Visitor
from tests.harness.simulated import Endpoints
from tests.unit.conftest import opened

FORM = "application/x-www-form-urlencoded"


# SameSite=Strict


def test_who_comes_by_a_link_from_elsewhere_asks_again_with_the_cookie(bob: Visitor) -> None:
    cookie, bob.cookie = bob.cookie, ""  # as browsers do on the way from another site
    for goal, path in (("/vm/db/?a=1", "%2Fvm%2Fdb%2F%3Fa%3D1"), ("/", "%2F")):
        link = bob.ask("GET", goal)
        assert (link.status, link.headers["Location"]) == (303, f"/login?next={path}")
        page = bob.ask("GET", link.headers["Location"])
        again = f"/login?next={path}&here=1"
        refresh = f'<meta http-equiv="refresh" content="0; url={again.replace("&", "&amp;")}">'
        assert (page.status, refresh in page.body.decode()) == (200, True)
        assert b"<form" not in page.body
        assert b"<form" in bob.ask("GET", again).body  # who has not logged in
        bob.cookie = cookie
        found = bob.ask("GET", again)
        assert (found.status, found.headers["Location"]) == (303, goal)
        bob.cookie = ""


def test_the_form_itself_is_a_form(bob: Visitor) -> None:
    for cookie in ("", "0" * 43):
        bob.cookie = cookie
        assert b"<form" in bob.ask("GET", "/login").body
    assert b"<form" in bob.ask("GET", "/login?next=%2Fvm%2Fdb%2F").body


def test_it_goes_on_to_nowhere_else(bob: Visitor) -> None:
    bob.cookie = ""
    for goal in (
        "//evil.example/",
        "https://evil.example/",
        "/\\evil.example",
        '/"><script>',
        "/'",
    ):
        page = bob.ask("GET", f"/login?next={goal}").body
        assert b"<script" not in page
        assert b"evil" not in page


def test_a_second_form_of_the_same_user_ends_nothing(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    console, before = opened(directory, hosts, bob), bob.cookie
    assert bob.log_in().status == 303
    directory.reload()  # which would have ended it
    assert set(hosts["kvm1"].sessions) == {console}
    directory.stop(signal.SIGKILL)
    directory.start()
    now, bob.cookie = bob.cookie, before
    assert bob.ask("GET", "/consoles.json").status == 401
    bob.cookie = now
    bob.ask("POST", "/logout", Origin=ORIGIN)
    assert directory.wait_for("console-end")["id"] == console


def test_another_users_form_ends_what_was_open(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    ada.cookie = bob.cookie  # in the same browser
    assert ada.log_in().status == 303
    end = directory.wait_for("console-end")
    assert (end["id"], end["user"]) == (console, "bob")


def test_a_user_has_so_many_log_ins_and_no_more(directory: Directory, bob: Visitor) -> None:
    windows = [Visitor(directory, "bob", "192.0.2.7") for _ in range(60)]
    for one in windows:
        assert one.log_in().status == 303
    good = [one.ask("GET", "/consoles.json").status == 200 for one in windows]
    assert good == [False] * 10 + [True] * 50


# Floods


def test_a_flood_of_guesses_is_refused_and_keeps_nobody_out_who_is_known(
    directory: Directory, bob: Visitor
) -> None:
    dear = hash_password("bob's password", b"salt of 16 bytes")
    for user in directory.users.values():
        user["password_hash"] = dear
    directory.reload()

    def guess(number: int) -> tuple[int, str]:
        evil = Visitor(directory, f"user{number}", f"198.51.{number // 250}.{number % 250}")
        found = evil.log_in("guess")
        return found.status, found.headers.get("Retry-After", "")

    with ThreadPoolExecutor(100) as pool:
        flood = [pool.submit(guess, number) for number in range(100)]
        known = [bob.log_in().status for _ in range(3)]
        told = {one.result() for one in flood}
    assert known == [303] * 3
    assert told == {(401, ""), (503, "5")}
    assert Visitor(directory, "bob", "203.0.113.9").log_in().status == 303


def test_a_restart_forgets_nobody_who_has_logged_in(directory: Directory, bob: Visitor) -> None:
    bob.ask("POST", "/logout", Origin=ORIGIN)
    directory.stop(signal.SIGKILL)
    directory.start()
    ada = Visitor(directory, "ada", "192.0.2.7")
    stranger = Visitor(directory, "stranger", "192.0.2.7")
    assert 429 in {stranger.log_in("wrong").status for _ in range(20)}
    assert bob.log_in().status == 303
    assert ada.log_in().status == 303
    del directory.users["bob"]
    directory.stop()
    directory.start()
    directory.stop()
    directory.visitor("bob")
    directory.start()
    assert 429 in {stranger.log_in("wrong").status for _ in range(20)}
    assert bob.log_in().status == 429  # another one of the same name


# What is sent


def test_no_name_gets_into_a_log_as_it_stands(directory: Directory, bob: Visitor) -> None:
    names = ("x\n{}", "\x1b[31mred", "\r\n", "\0", "\u2028", "\u202e", "\x7f", "bob\n", "é")
    for number, name in enumerate(names):
        assert Visitor(directory, name, f"192.0.2.{number}").log_in().status == 401
        assert directory.wait_for("login-failed")["user"] is None
    assert all(line[:-1].isascii() and line[:-1].isprintable() for line in directory.printed)


def test_what_is_sent_has_an_end(bob: Visitor) -> None:
    for body, status in (
        ("username=bob&password=" + "x" * 17_000, 413),
        ("username=" + "x" * 256 + "&password=x", 400),
        ("username=bob&username=ada&password=x", 400),
        ("&".join(f"a{number}=1" for number in range(9)) + "&username=bob", 400),
    ):
        assert bob.ask("POST", "/login", body, Origin=ORIGIN, Content_Type=FORM).status == status
    bob.cookie += "x" * 8000
    assert bob.ask("GET", "/consoles.json").status == 401


def test_cookies_of_others_do_no_harm(bob: Visitor) -> None:
    own, bob.cookie = f"novnc_fleet_session={bob.cookie}", ""
    for others in ("a[b]={}; ", 'x={"a": 1, "b": "c"}; ', "é=1; ", "=; ", ";;", 'q="\\"; ', "a,b;"):
        for cookies in (others + own, f"{own}; {others}"):
            assert logged_in(bob, cookies)
    for cookies in ("novnc_fleet_session=", "novnc_fleet_session", f"x{own}", f"{own}x"):
        assert not logged_in(bob, cookies)


def logged_in(visitor: Visitor, cookies: str) -> bool:
    """Tell whether somebody with these cookies has logged in."""
    return visitor.ask("GET", "/consoles.json", Cookie=cookies).status == 200
