# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What ``novnc-console doctor`` told on all hypervisors, and how far the controller gets. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.diagnosis import lines, sentence
from ansible_collections.novnc.fleet.plugins.module_utils.text_table import printable

Result = Mapping[str, Any]
"""What a task has registered."""

ENDPOINT = "endpoint"
"""What the visit of a host's endpoint is called in `visits`."""

_PREFIX = "novnc-console: "


def answer(asked: Result) -> dict[str, Any]:
    """Return what the command told on a host; an empty dictionary where it told nothing."""
    if asked.get("rc") not in (0, 1):
        return {}
    try:
        found: dict[str, Any] = json.loads(asked.get("stdout", ""))
    except ValueError:
        return {}
    return found


def visits(asked: Result) -> dict[str, list[dict[str, Any]]]:
    """Return where the controller has to go to see a VM that the host itself finds well.

    Returns:
        ``consoles``: its direct ones, entries of ``consoles.json``. ``endpoint``: targets of
        M(novnc.fleet.console_probe), none or one.
    """
    told = answer(asked)
    if not told or told["fault"]:
        return {"consoles": [], ENDPOINT: []}
    url = f"wss://{told['endpoint']}/healthz"
    endpoint = [{"name": ENDPOINT, "url": url}] if told["endpoint"] else []
    return {"consoles": told["consoles"], ENDPOINT: endpoint}


def diagnosis(
    asked: Mapping[str, Result], vm: str, seen: Mapping[str, Mapping[str, Sequence[Result]]]
) -> dict[str, list[str]]:
    """Return the report on a VM, and what is wrong with it.

    Hosts that cannot tell whether they have it are named; they are a fault where no other has it.

    Args:
        asked: What the command came to, by the host's name.
        vm: Its name or uuid.
        seen: Results of M(novnc.fleet.console_probe) for what `visits` returned, by the host's
            name; of hosts without, nothing was visited.

    Returns:
        ``report``: lines for people. ``faults``: a sentence each; empty if all is well.
    """
    report: list[str] = []
    faults: list[str] = []
    doubts: list[str] = []
    for host, one in list(asked.items()):  # Ansible's own mappings give them once only
        told = answer(one)
        if not told or told["known"] is None:
            (faults if _is_usage(one) else doubts).append(f"{host}: {_complaint(one, told)}")
        elif told["known"]:
            hops = [*told["hops"], *_visited(seen.get(host, {}))]
            report += [f"{host}: {told['vm']} {told['uuid']}", *lines(hops)]
            faults += [f"{host}: {hop['hop']}: {sentence(hop)}" for hop in hops if not hop["ok"]]
    if not report and not faults:
        faults = [f"no hypervisor knows a VM of the name or uuid {vm!r}", *doubts]
    return {
        "report": [printable(line) for line in [*report, *doubts]],
        "faults": [printable(fault) for fault in faults],
    }


def _is_usage(asked: Result) -> bool:
    """Tell whether the command was there and did not know which VM is meant."""
    return asked.get("rc") == 2 and str(asked.get("stderr", "")).startswith(_PREFIX)


def _complaint(asked: Result, told: Mapping[str, Any]) -> str:
    if asked.get("unreachable"):
        return "not asked, as it could not be reached"
    if told:
        return sentence(told["hops"][-1])
    words = str(asked.get("stderr") or asked.get("msg") or "").strip()
    if words.startswith(_PREFIX):
        return words[len(_PREFIX) :]
    return f"not asked, as novnc-console cannot be run ({words}); run playbooks/consoles.yml"


def _visited(seen: Mapping[str, Sequence[Result]]) -> list[dict[str, Any]]:
    """Return a hop for each way that the controller has gone."""
    found = []
    for kind, result in [(kind, one) for kind, results in seen.items() for one in results]:
        # To an endpoint it has no certificate: that it is turned away shows that it got there.
        there = result["hop"] not in ("resolve", "connect") and result["errno"] != "ETIMEDOUT"
        ok = result["ok"] or (kind == ENDPOINT and there)
        mend = "the hypervisor itself gets there: look at firewalls and routes between the two"
        detail = f"the controller reaches {result['target']}" if ok else result["error"]
        found.append({"hop": "controller", "ok": ok, "detail": detail, "mend": "" if ok else mend})
    return found
