"""What doctor.yml makes of the hypervisors' words and of its own visits."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.fleet_diagnosis import diagnosis, visits

FINE = {"hop": "vm", "ok": True, "detail": "web01 is running", "mend": ""}
OFF = {"hop": "vm", "ok": False, "detail": "web01 is switched off", "mend": "start it"}


def asked(hop: dict[str, Any], *, known: bool | None = True, **more: Any) -> dict[str, Any]:
    """Return a registered answer of the command."""
    told = {"vm": "web01", "uuid": "1", "known": known, "hops": [hop], "consoles": []}
    told |= {"fault": None if hop["ok"] else hop["hop"], "endpoint": "192.0.2.1:16900", **more}
    return {"rc": 0 if hop["ok"] else 1, "stdout": json.dumps(told), "stderr": ""}


NOT_HERE = asked(OFF, known=False)
DOWN = {"unreachable": True, "msg": "ssh: no route"}
BARE = {"rc": 2, "msg": "Error executing command.", "stdout": "", "stderr": ""}
TWICE = {"rc": 2, "stdout": "", "stderr": "novnc-console: 2 VMs of kvm1 are called 'web01'"}


def visit(**more: Any) -> dict[str, Any]:
    """Return a result of a probe."""
    return {"ok": True, "hop": None, "errno": None, "error": None, "target": "ws://x", **more}


def test_it_goes_only_where_the_hypervisor_finds_no_fault() -> None:
    consoles = [{"vm": "web01"}]
    url = "wss://192.0.2.1:16900/healthz"
    endpoint = [{"name": "endpoint", "url": url}]
    assert visits(asked(FINE, consoles=consoles)) == {"consoles": consoles, "endpoint": endpoint}
    nowhere: dict[str, Any] = {"consoles": [], "endpoint": []}
    assert visits(asked(FINE, endpoint="")) == nowhere
    for answer in (asked(OFF), NOT_HERE, DOWN, BARE, TWICE):
        assert visits(answer) == nowhere


def test_all_is_well_although_another_host_is_down() -> None:
    found = diagnosis({"kvm1": asked(FINE), "kvm2": NOT_HERE, "kvm3": DOWN}, "web01", {})
    assert found == {
        "report": [
            "kvm1: web01 1",
            "ok  vm  web01 is running",
            "kvm3: not asked, as it could not be reached",
        ],
        "faults": [],
    }


def test_a_fault_is_named_with_host_hop_and_mend() -> None:
    found = diagnosis({"kvm1": asked(OFF), "kvm2": NOT_HERE}, "web01", {})
    assert found["faults"] == ["kvm1: vm: web01 is switched off; start it"]


def test_a_vm_that_nobody_knows_is_a_fault_and_who_could_not_tell_is_named() -> None:
    silent = asked({**OFF, "detail": "libvirt does not answer", "mend": ""}, known=None)
    hosts = {"kvm1": NOT_HERE, "kvm2": DOWN, "kvm3": BARE, "kvm4": silent}
    assert diagnosis(hosts, "web01", {})["faults"] == [
        "no hypervisor knows a VM of the name or uuid 'web01'",
        "kvm2: not asked, as it could not be reached",
        "kvm3: not asked, as novnc-console cannot be run (Error executing command.);"
        " run playbooks/consoles.yml",
        "kvm4: libvirt does not answer",
    ]


def test_a_name_that_is_no_answer_is_a_fault() -> None:
    found = diagnosis({"kvm1": TWICE, "kvm2": asked(FINE)}, "web01", {})
    assert found["faults"] == ["kvm1: 2 VMs of kvm1 are called 'web01'"]


def test_what_the_controller_sees_comes_after_what_the_host_told() -> None:
    lost = visit(ok=False, hop="connect", errno="ETIMEDOUT", error="cannot connect to x")
    found = diagnosis({"kvm1": asked(FINE)}, "web01", {"kvm1": {"consoles": [visit(), lost]}})
    assert found["report"][2:] == [
        "ok     controller  the controller reaches ws://x",
        "FAULT  controller  cannot connect to x; the hypervisor itself gets there: look at"
        " firewalls and routes between the two",
    ]
    assert len(found["faults"]) == 1


def test_an_endpoint_that_turns_the_controller_away_is_there() -> None:
    for hop, errno, faults in (
        ("http", "ECONNRESET", 0),
        ("tls", None, 0),
        ("connect", "ECONNREFUSED", 1),
        ("tls", "ETIMEDOUT", 1),
    ):
        result = visit(ok=False, hop=hop, errno=errno, error="no")
        seen = {"kvm1": {"consoles": [], "endpoint": [result]}}
        assert len(diagnosis({"kvm1": asked(FINE)}, "web01", seen)["faults"]) == faults
