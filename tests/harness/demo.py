"""The demo: the ``default`` scenario left running, and what it shows.

Usage: ``python -m tests.harness.demo up|down|consoles``. ``up`` starts what is
missing, runs ``playbooks/site.yml`` and prints a line for each VM's console, the
direct one if it has one; ``consoles`` prints them as JSON and ends with 1 where no
demo is running. Without a direct console, the line has the gateway's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tests.harness.project import BIN, CACHE, ENV, ROOT

INVENTORY = ROOT / "inventory" / "demo"


def hosts() -> list[str]:
    """Return the names of the demo's hosts."""
    inventory = yaml.safe_load((INVENTORY / "hosts.yml").read_text())
    return [host for group in inventory.values() for host in group["hosts"]]


def accounts() -> list[dict[str, Any]]:
    """Return the accounts of its gateway, the administrator's first."""
    found: list[dict[str, Any]] = json.loads((CACHE / "demo" / "users.json").read_text())
    return found


def is_running() -> bool:
    """Tell whether all containers of the demo are there and running."""
    command = ["docker", "ps", "--filter", "label=novnc-fleet", "--format", "{{.Names}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return {f"novnc-fleet-{host}" for host in hosts()} <= set(done.stdout.split())


def step(what: str, *command: str | Path) -> None:
    """Say what a step does, run it, and show its output only if it fails (SystemExit)."""
    log = CACHE / "log" / "demo.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"==> {what}", file=sys.stderr, flush=True)
    with log.open("w") as file:
        done = subprocess.run(
            [str(BIN / command[0]), *map(str, command[1:])],
            cwd=ROOT,
            env=ENV,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        tail = log.read_text().splitlines()[-60:]
        raise SystemExit("\n".join([*tail, f"demo: '{what}' failed; the whole output is in {log}"]))


def start_hosts() -> None:
    """Start the demo's hosts and their VMs, with nothing of ours on them."""
    # What is left of an earlier demo may be half of it.
    step("Clearing the place for the demo", "molecule", "destroy", "-s", "default")
    step(
        "Starting two hypervisors and a gateway in containers",
        "molecule",
        "create",
        "-s",
        "default",
    )
    step("Starting their VMs", "molecule", "prepare", "-s", "default")


def up() -> None:
    """Start whatever is missing of the demo, converge it and show its consoles."""
    start = time.monotonic()
    if not is_running():
        start_hosts()
    step(
        "Running playbooks/site.yml on them: install, make the consoles, check each"
        " (a minute at first)",
        "molecule", "converge", "-s", "default",
    )  # fmt: skip
    print(f"==> The demo is up, after {time.monotonic() - start:.0f} s", file=sys.stderr)
    rows = consoles()
    widths = [max(len(row[key]) for row in rows) for key in ("host", "vm")]
    for row in rows:
        way = row["url"] if "url" in row else row["gateway_url"]
        print(row["host"].ljust(widths[0]), row["vm"].ljust(widths[1]), way, sep="  ")
    admin, portal = accounts()[0], rows[0]["gateway_url"].partition("/vm/")[0]
    print(
        f"==> All of them are at {portal}/ for {admin['name']}, password {admin['password']};"
        f" more accounts are in .cache/demo/users.json",
        file=sys.stderr,
    )


def down() -> None:
    """Remove the demo's hosts."""
    step("Removing the demo", "molecule", "destroy", "-s", "default")


def consoles() -> list[dict[str, Any]]:
    """Return the demo's VMs and their consoles; SystemExit (1) where no demo is running."""
    if not is_running():
        print("no demo is running; start it with 'make demo'", file=sys.stderr)
        raise SystemExit(1)
    output = CACHE / "demo" / "consoles.json"
    output.unlink(missing_ok=True)
    done = subprocess.run(
        [
            *(BIN / "ansible-playbook", "-i", str(INVENTORY)),
            *("tests/harness/consoles.yml", "-e", f"output={output}"),
        ],
        cwd=ROOT,
        env=ENV,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not output.exists():
        # Part of the list would look like all of it.
        raise SystemExit(f"{done.stdout}{done.stderr}demo: its consoles could not be read")
    hosts_told = json.loads(output.read_text())
    names = Counter(vm["vm"] for told in hosts_told for vm in told["vms"])
    return [entry for told in hosts_told for entry in entries(told, names)]


def entries(told: Mapping[str, Any], names: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return what ``make -s consoles`` says of one host's VMs, one entry each.

    Args:
        told: The host's ``consoles`` (of its ``consoles.json``), ``uuids`` of their VMs by their
            names, ``vms`` (as P(novnc.fleet.endpoint_consoles#filter) returns them), whether it
            has an ``endpoint``, and the ``gateway``'s public name, empty without one.
        names: How many VMs of the fleet have a name.
    """
    direct = {told["uuids"][one["vm"]]: one for one in told["consoles"] if one["listen"]}
    found = []
    for vm in told["vms"]:
        own = direct.get(vm["uuid"])
        if not (own or told["endpoint"]):
            continue
        entry = {key: vm[key] for key in ("host", "vm", "uuid", "state")}
        if own:
            entry |= {key: own[key] for key in ("listen", "vnc", "url", "websocket")}
        if told["endpoint"]:
            entry["endpoint"] = vm["websocket"]
        if told["gateway"]:
            alone = vm["vm"] if names[vm["vm"]] == 1 else f"{vm['vm']}@{vm['host']}"
            place = f"{told['gateway']}/vm/{quote(alone, safe='@')}/"
            entry |= {
                "gateway_url": f"https://{place}",
                "gateway_websocket": f"wss://{place}websockify",
            }
        found.append(entry)
    return found


def main(words: list[str]) -> None:
    """Do what the command line says."""
    match words:
        case ["up"]:
            up()
        case ["down"]:
            down()
        case ["consoles"]:
            print(json.dumps(consoles(), indent=2, ensure_ascii=False))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
