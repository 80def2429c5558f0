"""Uninstalled, nothing of ours is left; installed again, everything works."""

from __future__ import annotations

from typing import Any

from tests.harness.fleet import consoles, run_playbook
from tests.harness.project import ROOT

UNINSTALL = ROOT / "playbooks" / "uninstall.yml"


def test_nothing_is_left_behind(host: Any) -> None:
    checked = run_playbook(UNINSTALL, "--check")
    assert checked.status == 0, checked.output
    assert len(consoles()) == 3
    with consoles()[0].session(timeout=900):
        run = run_playbook(UNINSTALL, "-e", "novnc_uninstall_packages=true")
    assert run.status == 0, run.output
    # The package manager's own records are exempt.
    exempt = "! -path '/var/*/apt/*' ! -path '/var/*/dpkg/*' ! -name novnc-fleet-clean"
    assert host.check_output(f"find / /run -xdev -iname '*novnc*' {exempt}") == ""
    assert host.check_output("systemctl list-units --all --no-legend 'novnc*'") == ""
    assert "198.18.90.21:59" not in host.check_output("ss -Htln")
    assert "novnc" not in host.check_output("getent passwd; getent group")
    again = run_playbook(UNINSTALL, "-e", "novnc_uninstall_packages=true")
    assert (again.status, again.changed) == (0, 0), again.output
    back = run_playbook(ROOT / "playbooks" / "consoles.yml")
    assert back.status == 0, back.output
    with consoles()[0].session(timeout=900) as client:
        assert client.info.name == "QEMU (one)"
