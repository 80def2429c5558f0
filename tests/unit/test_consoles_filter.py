"""The planner as Ansible calls it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.filter.consoles import consoles

INFO: dict[str, Any] = {
    "addresses": ["192.168.0.2"],
    "interfaces": {},
    "default_ipv4": "192.168.0.2",
    "libvirt": False,
    "listeners": [],
    "ephemeral_ports": [32768, 60999],
    "missing_groups": [],
    "tls_fault": "",
}


def test_a_text_passes_for_a_list_of_origins() -> None:
    plan = consoles({"web01": 5900}, "kvm1", INFO, allowed_origins="https://a.example")
    assert plan["faults"] == []
    assert plan["consoles"][0]["origins"] == ["https://a.example"]


def test_the_endpoints_port_is_given_as_text() -> None:
    plan = consoles({"web01": 5900}, "kvm1", INFO, endpoint="192.168.0.2:5900")
    assert "is taken by the host's endpoint" in plan["faults"][0]


def test_an_endpoint_that_is_none_is_our_own_fault() -> None:
    with pytest.raises(ValueError, match="is neither"):
        consoles({}, "kvm1", INFO, endpoint="5900")
