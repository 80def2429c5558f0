# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The fleet's VMs: each once, where it runs, and found by those who may see it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novnc_directory.paths import is_segment
from novnc_directory.vms import OFF, RUNNING, UNKNOWN, Listing, Vm, merge, read_vms

from tests.unit.fakes import untimed

UUIDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(1, 6)]


def vm(host: str, name: str, state: str = RUNNING, uuid: str = UUIDS[0]) -> Vm:
    return Vm(host, name, uuid, name.upper(), state)


NAMES = st.sampled_from(["web", "web@kvm1", "a/b", "..", *UUIDS, UUIDS[0].upper(), "zwei Wörter"])
VMS = st.lists(
    st.builds(
        Vm,
        host=st.sampled_from(["kvm1", "kvm2"]),
        name=NAMES,
        uuid=st.sampled_from(UUIDS),
        title=st.just("t"),
        state=st.sampled_from([RUNNING, OFF]),
    ),
    max_size=8,
)


def test_a_vm_is_where_it_runs() -> None:
    answers = {"kvm1": [vm("kvm1", "web", OFF)], "kvm2": [vm("kvm2", "web")]}
    assert merge(answers, (), {UUIDS[0]: "kvm1"}) == (vm("kvm2", "web"),)


def test_a_vm_that_is_off_everywhere_stays_where_it_was() -> None:
    answers = {host: [vm(host, "web", OFF)] for host in ("kvm1", "kvm2", "kvm3")}
    assert merge(answers, (), {UUIDS[0]: "kvm2"})[0].host == "kvm2"
    assert merge(answers, (), {})[0].host == "kvm1"


def test_a_vm_on_the_move_stays_where_it_was_until_it_has_gone() -> None:
    answers = {"kvm1": [vm("kvm1", "web")], "kvm2": [vm("kvm2", "web")]}
    assert merge(answers, (), {UUIDS[0]: "kvm2"})[0].host == "kvm2"


def test_what_a_silent_host_told_is_kept_and_not_believed() -> None:
    answers = {"kvm1": [vm("kvm1", "web")], "kvm2": [vm("kvm2", "web", OFF)]}
    before = {UUIDS[0]: "kvm1"}
    assert merge(answers, {"kvm1"}, before) == (vm("kvm1", "web", UNKNOWN),)
    answers["kvm2"] = [vm("kvm2", "web")]
    assert merge(answers, {"kvm1"}, before) == (vm("kvm2", "web"),)


@untimed
@given(VMS, st.sets(st.sampled_from(["kvm1", "kvm2"])))
def test_every_vm_is_listed_once(vms: list[Vm], silent: set[str]) -> None:
    answers = {host: [one for one in vms if one.host == host] for host in ("kvm1", "kvm2")}
    merged = merge(answers, silent, {})
    assert sorted(one.uuid for one in merged) == sorted({one.uuid for one in vms})
    assert merge(answers, silent, {one.uuid: one.host for one in merged}) == merged


@untimed
@given(VMS)
def test_every_link_leads_to_its_vm_and_no_other(vms: list[Vm]) -> None:
    listing = Listing(merge({"kvm1": vms}, (), {}))
    for one in listing.vms:
        segment = listing.segment(one)
        assert is_segment(segment)
        assert listing.find(segment) == [one]


def test_a_link_is_as_short_as_can_be() -> None:
    vms = [vm("kvm1", "web"), vm("kvm2", "web", uuid=UUIDS[1]), vm("kvm2", "db", uuid=UUIDS[2])]
    listing = Listing(vms)
    assert [listing.segment(one) for one in vms] == ["web@kvm1", "web@kvm2", "db"]
    assert listing.find("web") == vms[:2]
    assert Listing(vms[:1]).segment(vms[0]) == "web"


def test_a_uuid_wins_over_a_name() -> None:
    liar, honest = vm("kvm1", UUIDS[1]), vm("kvm2", "web", uuid=UUIDS[1])
    listing = Listing([liar, honest])
    assert listing.find(UUIDS[1]) == [honest]
    assert listing.find(UUIDS[1].upper()) == [honest]
    assert listing.segment(liar) == f"{UUIDS[1]}@kvm1"


def test_a_name_wins_over_a_name_at_a_host() -> None:
    odd, plain = vm("kvm2", "web@kvm1"), vm("kvm1", "web", uuid=UUIDS[1])
    listing = Listing([odd, plain, vm("kvm2", "web", uuid=UUIDS[2])])
    assert listing.find("web@kvm1") == [odd]
    assert listing.segment(plain) == UUIDS[1]


TOLD = {"vm": "web", "uuid": UUIDS[0].upper(), "title": "", "state": RUNNING, "host": "liar"}


def test_an_endpoint_is_believed_about_its_vms_and_not_about_its_name() -> None:
    assert read_vms("kvm1", [TOLD]) == (Vm("kvm1", "web", UUIDS[0], "web", RUNNING),)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [None],
        [{**TOLD, "vm": ""}],
        [{**TOLD, "vm": 7}],
        [{**TOLD, "uuid": "web"}],
        [{**TOLD, "state": "asleep"}],
        [{"vm": "web"}],
    ],
)
def test_what_is_no_list_of_vms_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"consoles\.json"):
        read_vms("kvm1", json.loads(json.dumps(data)))


def test_names_have_an_end() -> None:
    (found,) = read_vms("kvm1", [{**TOLD, "vm": "x" * 999, "title": "y" * 999}])
    assert replace(found, name="", title="") == Vm("kvm1", "", UUIDS[0], "", RUNNING)
    assert (len(found.name), len(found.title)) == (255, 255)
