"""Compare consoles, endpoint and gateway with what else there is, on test hosts and in one run.

Usage: ``python -m tests.bench [PART...]``, with the parts ``consoles`` and ``gateway``; without a
word, both. It prints a table, and writes it to ``.cache/bench.json``. The ratios are what to read:
the absolute numbers depend on the machine. Ends with 0 whether or not the goals are met, and with 1
if it could not measure. ``consoles`` measures the demo's direct consoles, over http, and those of
the scenario ``direct``, over https, and the endpoint there; ``gateway`` the hosts of the scenario
``bench``. What does not run is started, and removed.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from playwright.sync_api import Error as BrowserError

from tests.bench import (
    endpoint_measures,
    endpoint_rivals,
    fleet_portal,
    fleet_size,
    gateway,
    gateway_measures,
    measures,
    page_load,
    report,
    rivals,
)
from tests.bench.client import BenchError
from tests.bench.host import Host, measured_hosts
from tests.harness import demo
from tests.harness.project import CACHE, ROOT

RESULT = CACHE / "bench.json"

Measures = list[report.Measure]
Versions = dict[str, str]


def say(text: str) -> None:
    """Tell how far the bench is."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def version(host: Host, *packages: str) -> str:
    """Return which Python and which packages were measured."""
    names = " ".join(packages)
    shown = host.shell(
        f"python3 --version; dpkg-query -W -f '${{Package}} ${{Version}}\\n' {names}"
    )
    return ", ".join(shown.splitlines())


def compare(host: Host) -> Measures:
    """Take all measures on one host."""
    with rivals.on(host):
        say(f"{host.name}: first visits of idle consoles (half a minute)")
        done = [measures.first_visit(host)]
        say(f"{host.name}: visits of running ones, and echoes through them")
        done += [measures.warm_connect(host), measures.echo(host)]
        say(f"{host.name}: memory")
        done += [*measures.idle_memory(host), measures.connection_memory(host)]
    say(f"{host.name}: the endpoint, beside websockify {endpoint_rivals.WEBSOCKIFY} and QEMU")
    with endpoint_rivals.on(host):
        return [*done, *endpoint_measures.measure(host)]


@contextmanager
def scenario(name: str, *verbs: str) -> Iterator[None]:
    """Have a scenario's hosts."""
    try:
        for verb in ("destroy", *verbs):
            demo.step(f"The hosts of the scenario {name}: {verb}", "molecule", verb, "-s", name)
        yield
    finally:
        demo.step(f"Removing the hosts of {name}", "molecule", "destroy", "-s", name)


@contextmanager
def running_demo() -> Iterator[None]:
    """Have the demo, which is left as it was found: running or not."""
    was_running = demo.is_running()
    try:
        if not was_running:
            with contextlib.redirect_stdout(sys.stderr):
                demo.up()
        yield
    finally:
        if not was_running:
            demo.down()


def bench_consoles(control: Path) -> tuple[Measures, Versions]:
    """Compare direct consoles and the endpoint, on every host that has direct consoles."""
    found, versions = [], {}
    with running_demo(), scenario("direct", "create", "prepare", "converge"):
        for host in measured_hosts(control):
            try:
                versions[host.name] = version(host, "websockify")
                found += compare(host)
                if host.name == "kvm1":
                    why = "a quarter of an hour, for the loop's sake"
                    say(f"{host.name}: runs for 1, 50 and 200 VMs ({why})")
                    found += fleet_size.measure(host)
            except (BenchError, OSError) as error:
                raise BenchError(f"{host.name} could not be measured: {error}") from error
            finally:
                host.disconnect()
    return found, versions


def bench_gateway(control: Path) -> tuple[Measures, Versions]:
    """Compare the gateway with direct consoles, and show a large fleet on its portal."""
    with scenario(gateway.SCENARIO, "create", "prepare"):
        say("gateway and hypervisor: set up (two minutes)")
        with gateway.site(control) as site:
            versions = {
                site.gateway.name: version(site.gateway, "nginx", "python3-aiohttp", "novnc"),
                site.hypervisor.name: version(site.hypervisor, "websockify", "python3-aiohttp"),
            }
            say("gateway: consoles through it, beside direct ones and a bare VNC connection")
            found = gateway_measures.measure(site)
            say(f"gateway: its page, beside that of websockify {endpoint_rivals.WEBSOCKIFY}")
            found += page_load.measure(site)
            say("gateway: 5,000 VMs")
            return [*found, *fleet_portal.measure(site)], versions


PARTS: dict[str, Callable[[Path], tuple[Measures, Versions]]] = {
    "consoles": bench_consoles,
    "gateway": bench_gateway,
}


def bench(parts: list[str]) -> int:
    """Take the measures of some parts, and report. Return the exit status."""
    start = time.monotonic()
    found: Measures = []
    versions: Versions = {}
    RESULT.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="novnc-bench-") as directory:
        for part in parts:
            try:
                measured, those = PARTS[part](Path(directory))
            except (BenchError, BrowserError, OSError, ValueError) as error:
                print(f"bench: {part} could not be measured: {error}", file=sys.stderr)
                return 1
            found += measured
            versions |= those
    report.write(found, versions, RESULT)
    say(f"written to {RESULT.relative_to(ROOT)}, after {time.monotonic() - start:.0f} s")
    for name, text in versions.items():
        print(f"{name}: {text}")
    print(report.table(found))
    return 0


def interrupted(number: int, _frame: object) -> NoReturn:
    """End as Ctrl-C does, so that the hosts are tidied."""
    raise SystemExit(128 + number)


def main(parts: list[str]) -> int:
    """Run the bench."""
    if unknown := set(parts) - set(PARTS):
        print(f"bench: there is no part '{min(unknown)}'; there are: {', '.join(PARTS)}")
        return 2
    signal.signal(signal.SIGTERM, interrupted)
    return bench(parts or list(PARTS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
