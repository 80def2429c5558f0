"""Where direct consoles are switched off they go, and come back as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError

from tests.harness.fleet import Console, background, run_playbook
from tests.harness.project import ROOT
from tests.lifecycle.conftest import VMS, converge


def test_switched_off_no_direct_console_is_left_and_the_list_is_kept(
    host: Any, find: Callable[[str], Console]
) -> None:
    """They are more than the prune limit lets go: the switch is no list that was cut short."""
    playbook = ROOT / "playbooks" / "consoles.yml"
    listed = {**VMS, **{f"vm{number}": 7000 + number for number in range(7)}}
    off = ("-e", json.dumps({"novnc_vms": listed, "novnc_console_direct": False}))
    on = ("-e", json.dumps({"novnc_vms": listed}))
    assert converge(listed).status == 0
    try:
        with find("one").session(timeout=900) as viewer:
            told = run_playbook(playbook, *off, "--check")
            assert (told.status, told.changed > 0) == (0, True), told.output
            background(viewer)
            run = run_playbook(playbook, *off, "-e", "novnc_console_prune=false")
            assert run.status == 0, run.output
            assert "so nobody can see its VMs" in " ".join(run.output.split())
            with pytest.raises(HopError):
                background(viewer)
        assert "198.18.90.21" not in host.check_output("ss -Htln")
        assert host.check_output("systemctl list-units --all --no-legend 'novnc*'") == ""
        assert host.check_output("find /etc -name '*novnc*'") == "/etc/novnc-fleet"
        kept = json.loads(host.file("/etc/novnc-fleet/consoles.json").content_string)
        assert [(one["vm"], one["listen"], one["url"]) for one in kept] == [
            (vm, "", "") for vm in listed
        ]
        assert run_playbook(playbook, *off).changed == 0
    finally:
        back = run_playbook(playbook, *on)
    assert back.status == 0, back.output
    with find("one").session(timeout=900) as client:
        assert client.info.name == "QEMU (one)"
