"""Compare consoles and endpoint with websockify, on test hosts and in one run.

Usage: ``python -m tests.bench``. It prints a table, and writes it to ``.cache/bench.json``. The
ratios are what to read: the absolute numbers depend on the machine. Ends with 0 whether or not
the goals are met, and with 1 if it could not measure. Measured are the demo's direct consoles,
over http, and those of the scenario ``direct``, over https; what does not run is started, and
removed.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from tests.bench import (
    endpoint_measures,
    endpoint_rivals,
    fleet_size,
    measures,
    report,
    rivals,
)
from tests.bench.client import BenchError
from tests.bench.host import Host, measured_hosts
from tests.harness import demo
from tests.harness.project import CACHE, ROOT

RESULT = CACHE / "bench.json"


def say(text: str) -> None:
    """Tell how far the bench is."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def version(host: Host) -> str:
    """Return which Python and which websockify were measured."""
    shown = host.shell("python3 --version; dpkg-query -W -f '${Package} ${Version}' websockify")
    return ", ".join(shown.splitlines())


def compare(host: Host) -> list[report.Measure]:
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


def bench() -> int:
    """Compare on every host, and report. Return the exit status."""
    start = time.monotonic()
    found, versions = [], {}
    RESULT.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="novnc-bench-") as directory:
        for host in measured_hosts(Path(directory)):
            try:
                versions[host.name] = version(host)
                found += compare(host)
                if host.name == "kvm1":
                    why = "a quarter of an hour, for the loop's sake"
                    say(f"{host.name}: runs for 1, 50 and 200 VMs ({why})")
                    found += fleet_size.measure(host)
            except (BenchError, OSError) as error:
                print(f"bench: {host.name} could not be measured: {error}", file=sys.stderr)
                return 1
            finally:
                host.disconnect()
    report.write(found, versions, RESULT)
    say(f"written to {RESULT.relative_to(ROOT)}, after {time.monotonic() - start:.0f} s")
    for name, text in versions.items():
        print(f"{name}: {text}")
    print(report.table(found))
    return 0


def interrupted(number: int, _frame: object) -> NoReturn:
    """End as Ctrl-C does, so that the hosts are tidied."""
    raise SystemExit(128 + number)


def main() -> int:
    """Run the bench; the demo is left as it was found: running or not."""
    signal.signal(signal.SIGTERM, interrupted)
    was_running = demo.is_running()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if not was_running:
                demo.up()
            for verb in ("destroy", "create", "prepare", "converge"):
                demo.step(f"A hypervisor with https: {verb}", "molecule", verb, "-s", "direct")
        return bench()
    finally:
        demo.step("Removing the hypervisor with https", "molecule", "destroy", "-s", "direct")
        if not was_running:
            demo.down()


if __name__ == "__main__":
    sys.exit(main())
