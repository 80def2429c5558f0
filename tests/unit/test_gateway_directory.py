# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The directory as a process: who is let in, and which consoles have to end."""

from __future__ import annotations

import itertools
import json
import signal

import pytest

from tests.harness.directory import Directory, Visitor
from tests.harness.simulated import Endpoints
from tests.unit.conftest import is_ended, names, opened, sees, vm

# Who is let in


def test_everybody_sees_what_is_theirs(ada: Visitor, bob: Visitor) -> None:
    for name in ("web", "mail"):
        sees(ada, name, "running")
    assert len(names(ada)) == 7
    assert names(bob) == [("both", "control"), ("db", "control"), ("web", "watch")]
    (both, *_) = bob.ask("GET", "/consoles.json").json
    assert both["url"] == "https://gateway:8443/vm/both/"
    assert "https://gateway:8443/vm/both@kvm1/" in [
        one["url"] for one in ada.ask("GET", "/consoles.json").json
    ]


def test_what_one_may_not_see_is_what_does_not_exist(ada: Visitor, bob: Visitor) -> None:
    sees(ada, "mail", "running")
    hidden = vm("mail")["uuid"]
    spellings = ["mail", "MAIL", "%6dail", "%6Dail", "mail@kvm2", "both@kvm2", hidden]
    spellings += [hidden.upper(), "{" + hidden + "}", "zwei%20W%C3%B6rter", "zwei+W%C3%B6rter"]
    spellings += ["mail%00", "mail%2F", "web/../mail", "./mail", "%2e/mail", "mail;x", "*"]
    routes = ["/vm/{}/", "/vm/{}/state.json", "/vm/{}/websockify", "/vm/{}/x", "//vm/{}/"]
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"]
    leaks = []
    for route, method in itertools.product(routes, methods):
        nothing = bob.ask(method, route.format("nobody"))
        assert nothing.status == 404
        for spelling in spellings:
            found = bob.ask(method, route.format(spelling))
            if (found.status, found.body) != (404, nothing.body):
                leaks.append((method, route, spelling, found.status))
    assert leaks == []


def test_no_spelling_opens_what_one_may_not_see(bob: Visitor) -> None:
    hidden = vm("mail")["uuid"]
    for spelling in ("mail", "%6dail", "MAIL", hidden, hidden.upper(), "mail@kvm2", "nobody"):
        found = bob.open(f"/vm/{spelling}/websockify")
        assert (found.status, found.headers["X-Console-Refusal"]) == (403, "none")
    for path in ("/vm/db/websockify?x", "/vm/db//websockify", "//vm/db/websockify", "/vm/db/", ""):
        assert bob.open(path).status == 403


def test_what_one_may_open_is_opened_as_one_may(bob: Visitor) -> None:
    found = bob.open("/vm/web/websockify").headers
    assert found["X-Console-Endpoint"] == "kvm1"
    assert found["X-Console-Vm"] == vm("web")["uuid"]
    assert (found["X-Console-User"], found["X-Console-Mode"]) == ("bob", "watch")
    assert bob.open(f"/vm/{vm('db')['uuid'].upper()}/websockify").headers["X-Console-Mode"] == (
        "control"
    )


FOREIGN = [
    "null",
    "",
    "https://evil.example",
    "http://gateway:8443",
    "https://gateway",
    "https://gateway:8443.evil.example",
    "https://gateway:8443/",
    "https://GATEWAY:8443",
]


def test_other_pages_get_nothing(bob: Visitor) -> None:
    for origin in FOREIGN:
        assert bob.open("/vm/db/websockify", origin).status == 403, origin
        assert bob.log_in(origin=origin).status == 403, origin
        assert bob.ask("POST", "/logout", Origin=origin).status == 403, origin
    assert bob.ask("GET", "/_authorize", X_Original_URI="/vm/db/websockify").status == 403
    assert bob.ask("POST", "/logout").status == 403
    assert bob.ask("GET", "/consoles.json").status == 200


def test_strangers_are_sent_to_the_log_in_whatever_there_is(
    directory: Directory, bob: Visitor
) -> None:
    stranger = directory.visitor("stranger")
    for vm_there, vm_not_there in (("/vm/db/", "/vm/nobody/"), ("/", "/"), ("/vm/db", "/vm/no")):
        found, other = (stranger.ask("GET", path) for path in (vm_there, vm_not_there))
        assert (found.status, found.body) == (other.status, other.body) == (303, b"")
    assert stranger.ask("GET", "/vm/db/?a=1").headers["Location"] == (
        "/login?next=%2Fvm%2Fdb%2F%3Fa%3D1"
    )
    assert stranger.ask("GET", "/consoles.json").status == 401
    for name in ("db", "nobody"):
        assert stranger.ask("GET", f"/vm/{name}/state.json").status == 401
        assert stranger.open(f"/vm/{name}/websockify").status == 401


def test_a_log_in_is_a_cookie_for_this_gateway_only(bob: Visitor) -> None:
    found = bob.log_in(goal="/vm/db/")
    assert (found.status, found.headers["Location"]) == (303, "/vm/db/")
    flags = {one.strip() for one in found.headers["Set-Cookie"].split(";")[1:]}
    assert flags == {"HttpOnly", "Path=/", "SameSite=Strict", "Secure"}
    assert found.headers["Cache-Control"] == "no-store"
    assert bob.log_in(goal="//evil.example/%2F..").headers["Location"] == "/"


def test_the_cookie_of_before_is_worth_nothing(bob: Visitor) -> None:
    before = bob.cookie
    bob.log_in()
    assert bob.cookie != before
    bob.cookie = before
    assert bob.ask("GET", "/consoles.json").status == 401


def test_wrong_passwords_get_nobody_in_and_slow_down_nobody_else(
    directory: Directory, bob: Visitor
) -> None:
    evil = Visitor(directory, "bob", "198.51.100.66")
    tries = [evil.log_in("wrong").status for _ in range(50)]
    assert set(tries) == {401, 429}
    assert evil.log_in().status == 429
    assert bob.log_in().status == 303
    assert Visitor(directory, "bob", "203.0.113.9").log_in().status == 303


def test_no_secret_is_told_to_the_journal(directory: Directory, bob: Visitor) -> None:
    Visitor(directory, "hunter2 in the wrong field", "192.0.2.9").log_in("s3cret")
    bob.console("db")
    directory.wait_for("console-start")
    directory.stop()
    text = json.dumps(directory.lines)
    assert "login-failed" in text
    for secret in (bob.cookie, "hunter2", "s3cret", "bob's password"):
        assert secret not in text


def test_an_unfit_form_is_refused(bob: Visitor) -> None:
    kind = "application/x-www-form-urlencoded"
    origin = "https://gateway:8443"
    for body, form in [("x" * 20_000, kind), ("{}", "application/json"), ("username=%ff", kind)]:
        assert bob.ask("POST", "/login", body, Origin=origin, Content_Type=form).status >= 400
    for method in ("GET", "PUT"):
        assert bob.ask(method, "/logout").status == 405


# Where a VM is


def test_a_vm_that_is_new_or_moves_is_found_at_once(
    directory: Directory, hosts: Endpoints, ada: Visitor
) -> None:
    directory.settings["poll_interval"] = 3600
    directory.start()
    ada.log_in()
    sees_both = ada.open("/vm/mail/websockify").headers["X-Console-Endpoint"]
    hosts["kvm2"].vms = []
    hosts["kvm1"].vms += [vm("fresh")]
    while ada.open("/vm/fresh/websockify").status != 204:  # a look a second, at most
        pass
    assert sees_both == "kvm2"
    hosts["kvm1"].vms[-1]["state"] = "off"
    hosts["kvm2"].vms = [vm("fresh")]
    directory.reload()  # which asks anew
    while ada.open("/vm/fresh/websockify").headers.get("X-Console-Endpoint") != "kvm2":
        pass


def test_a_silent_host_keeps_its_vms(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    sees(ada, "mail", "running")
    hosts["kvm2"].silent = True
    assert directory.wait_for("host-silent")["host"] == "kvm2"
    sees(ada, "mail", "unknown")
    told = {one["host"]: one for one in ada.ask("GET", "/portal.json").json["hosts"]}
    assert told["kvm1"] == {"host": "kvm1", "age": None, "silent": False}
    assert told["kvm2"]["silent"]
    assert told["kvm2"]["age"] >= 0
    sentence = ada.ask("GET", "/vm/mail/state.json").json["sentence"]
    assert sentence.startswith("kvm2 has been silent for")
    directory.stop(signal.SIGKILL)
    directory.start()
    assert ("mail", "control") in names(ada)
    hosts["kvm2"].silent = False
    sees(ada, "mail", "running")


def test_an_endpoint_with_another_name_is_not_believed(
    directory: Directory, hosts: Endpoints, ada: Visitor
) -> None:
    directory.settings["endpoints"]["kvm2"]["name"] = "kvm1"
    directory.start()
    assert "kvm1" in directory.wait_for("host-silent")["reason"]
    ada.log_in()
    sees(ada, "web", "running")
    assert ("mail", "control") not in names(ada)


def test_states_are_told_in_words(ada: Visitor, bob: Visitor) -> None:
    sees(ada, "idle", "off")
    told = ada.ask("GET", "/vm/idle/state.json").json
    assert (told["state"], told["sentence"]) == ("off", "idle is switched off.")
    assert ada.ask("GET", "/vm/db/state.json").json["sentence"] == ""
    assert ada.ask("GET", "/vm/both/").status == 404
    assert b"both@kvm1, both@kvm2" in ada.ask("GET", "/vm/both/").body


# Which consoles end


def test_log_out_ends_the_consoles(directory: Directory, hosts: Endpoints, bob: Visitor) -> None:
    console = opened(directory, hosts, bob)
    assert bob.ask("POST", "/logout", Origin="https://gateway:8443").status == 303
    is_ended(hosts, console)
    end = directory.wait_for("console-end")
    assert (end["id"], end["user"], end["vm"], end["host"]) == (console, "bob", "db", "kvm1")
    assert (end["seconds"], end["bytes_in"], end["bytes_out"]) == (1.5, 7, 1000)
    assert end["reason"] == "ended by the gateway: the log-in is over"
    start = next(one for one in directory.lines if one["event"] == "console-start")
    assert {key: end[key] for key in start if key != "event"} == {
        key: value for key, value in start.items() if key != "event"
    }
    assert bob.ask("GET", "/consoles.json").status == 401


def test_log_out_ends_a_console_that_is_still_on_its_way(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    console = bob.console("db")
    bob.ask("POST", "/logout", Origin="https://gateway:8443")
    is_ended(hosts, console)
    hosts["kvm1"].begin(console)
    assert directory.wait_for("console-end")["id"] == console
    assert hosts["kvm1"].sessions == {}


def test_log_out_after_a_restart_ends_them_too(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    directory.stop(signal.SIGKILL)
    directory.start()
    assert console in hosts["kvm1"].sessions
    bob.ask("POST", "/logout", Origin="https://gateway:8443")
    is_ended(hosts, console)
    end = directory.wait_for("console-end")
    assert end["bytes_out"] == 1000, end


def test_a_right_that_is_taken_away_ends_what_it_had(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    gone, stays = (opened(directory, hosts, bob, name) for name in ("db", "web"))
    directory.settings["rules"][0] = {"match": "db", "watch": ["user:bob"]}
    directory.write()
    assert directory.process
    directory.process.send_signal(signal.SIGHUP)
    is_ended(hosts, gone)
    end = directory.wait_for("console-end")
    assert end["reason"].endswith("the right to see it this way was taken away")
    assert set(hosts["kvm1"].sessions) == {stays}


def test_a_host_that_leaves_the_fleet_ends_what_it_had(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    del directory.settings["endpoints"]["kvm1"]
    directory.reload()
    is_ended(hosts, console)
    sees(ada, "mail", "running")
    assert ("db", "control") not in names(ada)
    assert directory.control("GET", "/sessions").json == []


@pytest.mark.parametrize("change", ["removed", "password"])
def test_an_account_that_changes_ends_what_it_had(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor, change: str
) -> None:
    hers, console = opened(directory, hosts, ada), opened(directory, hosts, bob)
    if change == "removed":
        del directory.users["bob"]
    else:
        directory.users["bob"] = directory.users["ada"]
    directory.reload()
    is_ended(hosts, console)
    assert set(hosts["kvm1"].sessions) == {hers}
    assert bob.ask("GET", "/consoles.json").status == 401
    assert ada.ask("GET", "/consoles.json").status == 200


def test_a_log_in_that_is_over_ends_what_it_had(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    directory.settings["session_timeout"] = 0.1
    directory.reload()
    is_ended(hosts, console)


def test_who_has_a_console_open_is_not_idle(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    opened(directory, hosts, bob)
    directory.settings["session_idle_timeout"] = 4
    directory.reload()
    assert directory.wait_for("login-over")["user"] == "ada"
    assert ada.ask("GET", "/portal.json").status == 401
    assert bob.ask("GET", "/portal.json").status == 200


def test_settings_that_cannot_be_read_change_nothing(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    directory.settings["rules"] = "rubbish"
    directory.reload("reload-failed")
    assert bob.ask("GET", "/consoles.json").status == 200
    assert console in hosts["kvm1"].sessions


def test_certificates_that_cannot_be_read_leave_no_right_behind(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    console = opened(directory, hosts, bob)
    directory.settings |= {"ca": "/nowhere", "rules": []}
    directory.reload("reload-failed")
    is_ended(hosts, console)
    assert names(bob) == []


def test_no_more_consoles_than_may_be(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    directory.settings |= {"max_consoles_per_user": 2, "max_consoles_per_vm": 1}
    directory.reload()
    first, _ = (opened(directory, hosts, bob, name) for name in ("db", "web"))
    full = ada.open("/vm/db/websockify")
    assert (full.status, full.headers["X-Console-Refusal"]) == (403, "full")
    assert "1 viewers" in ada.ask("GET", "/vm/db/state.json").json["sentence"]
    own = bob.open("/vm/both/websockify")
    assert (own.status, own.headers["X-Console-Refusal"]) == (403, "full")
    hosts["kvm1"].end(first, "the visitor closed the console")
    directory.wait_for("console-end")
    assert ada.open("/vm/db/websockify").status == 204


def test_who_may_control_sees_who_looks(
    directory: Directory, hosts: Endpoints, ada: Visitor, bob: Visitor
) -> None:
    for name in ("db", "web"):
        opened(directory, hosts, ada, name)
    other = {"uuid": vm("db")["uuid"], "user": "of another gateway", "mode": "watch"}
    hosts["kvm1"].begin("f" * 32, vm="db", **other)
    expected = [
        {"user": "ada", "mode": "control"},
        {"user": "of another gateway", "mode": "watch"},
    ]
    while True:
        told = {one["vm"]: one for one in bob.ask("GET", "/portal.json").json["consoles"]}
        assert "viewers" not in told["web"]
        if told["db"]["viewers"] == expected:
            break


# Root, and Prometheus


def test_a_check_has_an_account_of_its_own_for_a_while(
    directory: Directory, hosts: Endpoints, bob: Visitor
) -> None:
    made = directory.control("POST", "/account")
    assert made.status == 201
    check = Visitor(directory, made.json["name"], "192.0.2.8")
    assert check.log_in(made.json["password"]).status == 303
    sees(check, "mail", "running")
    assert {may for _, may in names(check)} == {"watch"}
    console = opened(directory, hosts, check)
    assert [one["id"] for one in directory.control("GET", "/sessions").json] == [console]
    assert directory.control("DELETE", f"/account/{made.json['name']}").status == 204
    is_ended(hosts, console)
    assert check.ask("GET", "/consoles.json").status == 401
    assert directory.control("DELETE", "/account/bob").status == 404
    assert bob.ask("GET", "/account").status == 404
