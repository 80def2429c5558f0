"""Users by VMs: nobody learns of a VM that they may not see, whatever way they ask."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.gateway.conftest import MAY, PEOPLE, VMS, journal, sessions
from tests.gateway.visitor import (
    ADDRESS,
    Answer,
    ask,
    consoles,
    name_shown,
    open_vm,
    refused,
    shown,
    upgrade,
)
from tests.harness.waiting import wait_until

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get")
RESTS = (
    "",
    "/",
    "/state.json",
    "/websockify",
    "/x",
    "/websockify/",
    "/state.json/",
    "//websockify",
)
WAYS = (
    "/VM/{}/websockify", "/vm/{}/WebSockify", "/%76m/{}/websockify", "/vm/{}/%77ebsockif%79",
    "/vm%2f{}/websockify", "/vm/{}%2fwebsockify", "/vm/{}%2Fwebsockify", "/vm/{}%252fwebsockify",
    "//vm/{}/websockify", "/vm//{}/websockify", "/vm/{}//websockify", "/vm/{}/websockify/",
    "/./vm/{}/websockify", "/vm/{}/./websockify", "/vm/{}/x/../websockify", "/vm/{}./websockify",
    "/vm/mixed01/../{}/websockify", "/vm/mixed01/%2e%2e/{}/websockify", "/vm/{}/websockify/.",
    "/vm/mixed01%2f..%2f{}/websockify", "/vm/mixed01%252f..%252f{}/websockify",
    "/vm/{}/websockify.", "/vm/{}/websockify;x", "/vm/{}/websockify?", "/vm/{}/websockify#x",
    "/vm/{}/websockify%3fx", "/vm/{}/websockify?x=/vm/mixed01/websockify",
    "/vm/{}/websockify%00", "/vm/{}/websockify%0a", "/vm/{}/websockify%20",
    "/vm/%00/../{}/websockify", "//%2e/%56m/../vm/{}%2f.//%77ebsockify?%00",
    f"https://{ADDRESS}/vm/{{}}/websockify",
)  # fmt: skip
"""Odd ways to a VM's WebSocket, of which nginx makes the right one, as it seems, or does not."""
NOWHERE, NO_UUID = "nowhere", "0f0e0d0c-0000-4000-8000-00000000beef"


def spellings(vm: str, uuid: str, host: str) -> Iterator[str]:
    """Return a VM's ways to be named in a path, right and wrong ones."""
    yield from (vm, uuid, f"{vm}@{host}", vm.upper(), vm.swapcase(), uuid.upper())
    yield from (quote(vm), "".join(f"%{ord(one):02x}" for one in vm))
    yield from ("".join(f"%25{ord(one):02x}" for one in vm), f"%2e%2e/vm/{vm}", f"./{vm}")
    yield from (f"{vm}%00", f"{vm}%2f", f"{vm};x", f"{vm}%20", f"{vm}?", f"x/../{vm}", f"{vm}%23")
    yield from (f"{uuid}@{host}", uuid.replace("-", ""), f"{{{uuid}}}", f"{vm}%0d%0a", f"*{vm}")


def doors(vm: str, uuid: str, host: str) -> Iterator[str]:
    """Return paths that may lead to a VM's WebSocket: by all its spellings, and all odd ways."""
    yield from (f"/vm/{name}/websockify" for name in spellings(vm, uuid, host))
    yield from (way.format(vm) for way in WAYS)


def hidden() -> list[tuple[str, str]]:
    """Return who may not see what."""
    return [(user, vm) for user in PEOPLE for vm in VMS if vm not in MAY[user]]


def spoofed(user: str) -> dict[str, str]:
    """Return headers that claim to come from nginx."""
    return {
        "X-Console-User": "ada",
        "X-Console-Mode": "control",
        "X-Console-Client": "127.0.0.1",
        "X-Console-Endpoint": "kvm17",
        "X_Console_User": "ada",
        "X-Original-URI": "/vm/mixed01/websockify",
        "X-Forwarded-User": "ada",
        "Authorization": "Basic YWRhOmFkYSdzIHBhc3N3b3Jk",
        "Remote-User": user,
    }


@pytest.mark.parametrize("user", PEOPLE)
def test_everybody_is_listed_exactly_what_they_may(cookies: dict[str, str], user: str) -> None:
    listed = consoles(cookies[user])
    assert {one["vm"]: one["may"] for one in listed} == MAY[user]
    keys = {"host", "vm", "uuid", "title", "state", "url", "websocket", "may"}
    assert all(set(one) == keys for one in listed)


@pytest.mark.parametrize("user", PEOPLE)
def test_everybody_opens_exactly_what_they_may(cookies: dict[str, str], user: str) -> None:
    for vm in VMS:
        if vm not in MAY[user]:
            assert refused(vm, cookies[user]) == 404
        elif vm == "db09":
            with open_vm(vm, cookies[user]) as stream, pytest.raises(HopError) as why:
                RfbClient(stream).handshake()
            assert "switched off" in str(why.value)
        else:
            assert name_shown(vm, cookies[user]) == f"QEMU ({vm})"


@pytest.mark.parametrize(("user", "vm"), hidden())
def test_what_may_not_be_seen_is_as_what_is_not_there(
    cookies: dict[str, str], user: str, vm: str
) -> None:
    one = shown(cookies["ada"])[vm]
    for there, absent in zip(
        spellings(vm, one["uuid"], one["host"]),
        spellings(NOWHERE, NO_UUID, one["host"]),
        strict=True,
    ):
        # A WebSocket that is asked for by half is nginx's to refuse, whatever the name.
        for rest in (rest for rest in RESTS if not rest.endswith("websockify")):
            found, nothing = (
                ask(f"/vm/{name}{rest}", cookie=cookies[user]) for name in (there, absent)
            )
            assert described(found) == described(nothing), f"/vm/{there}{rest}"
    for method in METHODS:
        for rest in RESTS:
            found, nothing = (
                ask(f"/vm/{name}{rest}", method, cookie=cookies[user]) for name in (vm, NOWHERE)
            )
            assert described(found) == described(nothing), f"{method} {rest}"


@pytest.mark.parametrize(("user", "vm"), hidden())
def test_no_spelling_opens_what_may_not_be_seen(
    cookies: dict[str, str], user: str, vm: str
) -> None:
    one = shown(cookies["ada"])[vm]
    for there, absent in zip(
        doors(vm, one["uuid"], one["host"]), doors(NOWHERE, NO_UUID, one["host"]), strict=True
    ):
        found, nothing = (upgrade(path, cookies[user]) for path in (there, absent))
        assert found.status != 101, there
        assert described(found) == described(nothing), there


def test_whatever_spelling_opens_what_may_be_watched_it_is_watched(
    cookies: dict[str, str], hypervisors: dict[str, Any]
) -> None:
    one, endpoint = shown(cookies["ada"])["db01"], hypervisors["kvm17"]

    def begun() -> list[str]:
        told = journal(endpoint, "novnc-endpoint")
        starts = [line for line in told if line["event"] == "session-start"]
        return [line["mode"] for line in starts if line["user"] == "wim"]

    before = len(begun())
    paths = dict.fromkeys(doors("db01", one["uuid"], one["host"]))
    opened = [path for path in paths if answered(path, cookies["wim"]).status == 101]
    # By name, by uuid, by name and host, and the name in escapes, at least.
    assert len(opened) >= 4, opened
    wait_until(lambda: len(begun()) == before + len(opened), 60, f"sessions by {opened}")
    assert set(begun()[before:]) == {"watch"}
    wait_until(lambda: not viewers(cookies["ada"], "db01"), 60, "the end of all of them")


def answered(path: str, cookie: str) -> Answer:
    """Return what a request for a WebSocket comes to once there is room for one more."""
    answers: list[Answer] = []

    def is_not_full() -> bool:
        answers.append(upgrade(path, cookie))
        return answers[-1].status != 503

    wait_until(is_not_full, 60, "room for one more console")
    return answers[-1]


def described(answer: Answer) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all of an answer that may tell something.

    That a path is written otherwise (``/vm/x`` as ``/vm/x/``) is told of any name alike, so of the
    right way to write it only the rest counts.
    """
    headers = [(key, value) for key, value in answer.headers.items() if key != "Date"]
    told = [(key, "" if key == "Location" else value) for key, value in headers]
    redirected = answer.headers.get("Location", "/vm/x/")
    return answer.status, answer.body, [*told, ("", re.sub("^/vm/[^/]*", "", redirected))]


@pytest.mark.parametrize("user", PEOPLE)
def test_spoofed_headers_change_nothing(cookies: dict[str, str], user: str) -> None:
    for vm in VMS:
        headers = spoofed(user)
        one = ask(f"/vm/{vm}/state.json", cookie=cookies[user], headers=headers)
        assert one.status == (200 if vm in MAY[user] else 404)
        if vm not in MAY[user]:
            assert refused(vm, cookies[user], headers=headers) == 404
    listed = ask("/consoles.json", cookie=cookies[user], headers=spoofed(user)).json
    assert {one["vm"]: one["may"] for one in listed} == MAY[user]


def test_spoofed_headers_are_no_log_in() -> None:
    for path in ("/consoles.json", "/portal.json", "/vm/db01/state.json"):
        assert ask(path, headers=spoofed("ada")).status == 401
    assert refused("db01", "", headers=spoofed("ada")) == 401


def test_who_comes_is_what_nginx_says(
    gateway: Any, cookies: dict[str, str], hypervisors: dict[str, Any]
) -> None:
    with socket.create_connection((ADDRESS, 443), timeout=10) as line:
        here = line.getsockname()[0]
    with open_vm("db01", cookies["wim"], headers=spoofed("wim")) as stream:
        RfbClient(stream).handshake()
        (seen,) = viewers(cookies["ada"], "db01")
        (known,) = [one for one in sessions(gateway) if one["vm"] == "db01"]
    assert seen == {"user": "wim", "mode": "watch"}
    told = journal(hypervisors["kvm17"], "novnc-endpoint")
    (start,) = [
        one for one in told if one["event"] == "session-start" and one["session"] == known["id"]
    ]
    facts = {"user": "wim", "mode": "watch", "client": here}
    for one in (known, start):
        assert {key: one[key] for key in facts} == facts


def viewers(cookie: str, vm: str) -> list[dict[str, str]]:
    """Return who looks at a VM."""
    listed = ask("/portal.json", cookie=cookie).json["consoles"]
    (found,) = [one["viewers"] for one in listed if one["vm"] == vm]
    return list(found)


@pytest.mark.parametrize(
    "path", ["/", "/consoles.json", "/portal.json", "/vm/db01/", "/vm/db01/state.json"]
)
def test_without_a_log_in_there_is_nothing(cookies: dict[str, str], path: str) -> None:
    for cookie in ("", "x", cookies["ada"][:-1], "0" * 43):
        answer = ask(path, cookie=cookie)
        assert answer.status in (303, 401)
        assert not any(vm.encode() in answer.body for vm in VMS)
        assert refused("db01", cookie) == 401


def test_a_watcher_sees_the_same_screen_and_cannot_type(cookies: dict[str, str]) -> None:
    with open_vm("db01", cookies["ada"]) as controls, open_vm("db01", cookies["wim"]) as watches:
        controller, watcher = RfbClient(controls), RfbClient(watches)
        controller.handshake()
        watcher.handshake()
        alone = typed(controller, "q")
        typed(controller, "\n")
        watcher.type_text("zzz")
        watcher.framebuffer()  # so whatever it sent before this has been dealt with
        assert typed(controller, "q") == alone
        assert watcher.framebuffer().rgb == alone


def typed(client: RfbClient, key: str) -> bytes:
    """Type a key that changes the screen; return the screen then."""
    before = client.framebuffer().rgb
    client.type_text(key)
    wait_until(lambda: client.framebuffer().rgb != before, 60, "another screen")
    return client.framebuffer().rgb


def test_the_directorys_own_paths_are_not_for_visitors(cookies: dict[str, str]) -> None:
    for path in (
        "/_authorize",
        "/_missing",
        "/_down",
        "/_full",
        "/metrics",
        "/account",
        "/sessions",
    ):
        headers = {"X-Original-URI": "/vm/db01/websockify"}
        assert ask(path, cookie=cookies["ada"], headers=headers).status == 404
    assert f"https://{ADDRESS}/" in shown(cookies["ada"])["db01"]["url"]
