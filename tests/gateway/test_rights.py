"""Users by VMs: nobody learns of a VM that they may not see, whatever way they ask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.gateway.conftest import MAY, PEOPLE, VMS
from tests.gateway.visitor import (
    ADDRESS,
    Answer,
    ask,
    consoles,
    name_shown,
    open_vm,
    refused,
    shown,
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
NOWHERE, NO_UUID = "nowhere", "0f0e0d0c-0000-4000-8000-00000000beef"


def spellings(vm: str, uuid: str, host: str) -> Iterator[str]:
    """Return a VM's ways to be named in a path, right and wrong ones."""
    yield from (vm, uuid, f"{vm}@{host}", vm.upper(), vm.swapcase(), uuid.upper())
    yield from (quote(vm), "".join(f"%{ord(one):02x}" for one in vm))
    yield from ("".join(f"%25{ord(one):02x}" for one in vm), f"%2e%2e/vm/{vm}", f"./{vm}")
    yield from (f"{vm}%00", f"{vm}%2f", f"{vm};x", f"{vm}%20", f"{vm}?", f"x/../{vm}", f"{vm}%23")
    yield from (f"{uuid}@{host}", uuid.replace("-", ""), f"{{{uuid}}}", f"{vm}%0d%0a", f"*{vm}")


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


@pytest.mark.parametrize("user", [user for user in PEOPLE if user != "ada"])
def test_what_may_not_be_seen_is_as_what_is_not_there(cookies: dict[str, str], user: str) -> None:
    all_consoles = shown(cookies["ada"])
    asked = 0
    for vm in VMS:
        if vm in MAY[user]:
            continue
        one = all_consoles[vm]
        for there, absent in zip(
            spellings(vm, one["uuid"], one["host"]),
            spellings(NOWHERE, "0f0e0d0c-0000-4000-8000-00000000beef", one["host"]),
            strict=True,
        ):
            for rest in RESTS:
                found, nothing = (
                    ask(f"/vm/{name}{rest}", cookie=cookies[user]) for name in (there, absent)
                )
                assert described(found) == described(nothing), f"/vm/{there}{rest}"
                asked += 1
        for method in METHODS:
            for rest in RESTS:
                found, nothing = (
                    ask(f"/vm/{name}{rest}", method, cookie=cookies[user]) for name in (vm, NOWHERE)
                )
                assert described(found) == described(nothing), f"{method} {rest}"
                asked += 1
    assert asked > 500


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


def test_who_comes_is_what_nginx_says(cookies: dict[str, str], hypervisors: dict[str, Any]) -> None:
    with open_vm("db01", cookies["wim"], headers=spoofed("wim")) as stream:
        RfbClient(stream).handshake()
        (seen,) = viewers(cookies["ada"], "db01")
    assert seen == {"user": "wim", "mode": "watch"}


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
