# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who may do what: what nobody has granted does not exist."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novnc_directory.rights import (
    CONTROL,
    NONE,
    WATCH,
    Account,
    Rights,
    Rule,
    read_rights,
)

from tests.unit.fakes import untimed

NAMES, GROUPS = st.sampled_from(["kim", "bob", "dba"]), st.sampled_from(["dba", "ops", "kim"])
VMS, HOSTS = st.sampled_from(["db1", "DB1", "web", "d*", "[x]"]), st.sampled_from(["kvm1", "kvm2"])
PATTERNS = st.sampled_from(["*", "db*", "d?1", "[dw]*", "web", "kvm*", "kvm2", "[x]", ""])
SUBJECTS = st.frozensets(
    st.one_of(st.just("everyone"), NAMES.map("user:{}".format), GROUPS.map("group:{}".format)),
    max_size=3,
)
RULES = st.builds(Rule, PATTERNS, PATTERNS, SUBJECTS, SUBJECTS)
RIGHTS = st.builds(Rights, st.lists(RULES, max_size=5).map(tuple), SUBJECTS)
ACCOUNTS = st.builds(Account, NAMES, st.just(""), st.frozensets(GROUPS))
ORDER = (NONE, WATCH, CONTROL)

KIM = Account("kim", "", frozenset({"ops"}))


@untimed
@given(RIGHTS, ACCOUNTS, HOSTS, VMS)
def test_a_right_is_one_that_somebody_has_written_down(
    rights: Rights, account: Account, host: str, vm: str
) -> None:
    called = {"everyone", f"user:{account.name}"} | {f"group:{one}" for one in account.groups}
    fits = [r for r in rights.rules if fnmatchcase(vm, r.match) and fnmatchcase(host, r.hosts)]
    controls = called & rights.admins or any(called & rule.control for rule in fits)
    watches = any(called & rule.watch for rule in fits)
    expected = CONTROL if controls else WATCH if watches else NONE
    assert rights.may(account, host, vm) == expected


@untimed
@given(RIGHTS, RULES, ACCOUNTS, HOSTS, VMS)
def test_one_more_rule_takes_nothing_away(
    rights: Rights, rule: Rule, account: Account, host: str, vm: str
) -> None:
    more = Rights((*rights.rules, rule), rights.admins)
    before, after = (ORDER.index(one.may(account, host, vm)) for one in (rights, more))
    assert before <= after


@pytest.mark.parametrize(
    ("rule", "may"),
    [
        ({}, NONE),
        ({"watch": ["everyone"]}, WATCH),
        ({"watch": ["everyone"], "control": ["user:kim"]}, CONTROL),
        ({"control": ["group:kim"]}, NONE),
        ({"control": ["user:ops"]}, NONE),
        ({"control": ["user:Kim"]}, NONE),
        ({"match": "db*", "control": ["group:ops"]}, CONTROL),
        ({"match": "DB*", "control": ["group:ops"]}, NONE),
        ({"match": "db", "control": ["group:ops"]}, NONE),
        ({"match": "db*", "hosts": "kvm2", "control": ["group:ops"]}, NONE),
    ],
)
def test_what_a_rule_comes_to(rule: dict[str, object], may: str) -> None:
    assert read_rights([rule], []).may(KIM, "kvm1", "db1") == may


def test_a_check_watches_everything_and_controls_nothing() -> None:
    rights = read_rights([{"control": ["everyone"]}], ["everyone"])
    assert rights.may(Account("check", "", watches_all=True), "kvm1", "db1") == WATCH


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"matches": "x"}, "unknown key 'matches'"),
        ({"control": "everyone"}, "must be a list"),
        ({"control": ["kim"]}, "'kim' must be everyone, user:x or group:x"),
        ({"watch": ["user:"]}, "'user:' must be"),
        ({"watch": ["Everyone"]}, "'Everyone' must be"),
        ({"watch": [7]}, "7 must be"),
        ({"match": 7}, "must be text"),
    ],
)
def test_what_is_no_rule_is_refused(rule: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_rights([rule], [])


def test_what_is_no_admin_is_refused() -> None:
    with pytest.raises(ValueError, match="the admins: 'root' must be"):
        read_rights([], ["root"])
