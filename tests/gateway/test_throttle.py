"""Whoever guesses passwords costs nobody else anything."""

from __future__ import annotations

import threading
import time
from typing import Any

from tests.gateway.conftest import journal
from tests.gateway.visitor import ADDRESS, cookie_of, log_in
from tests.harness.waiting import wait_until


def test_1000_wrong_passwords_from_one_address_slow_nobody_elsewhere(
    gateway: Any, hypervisors: dict[str, Any], cookies: dict[str, str]
) -> None:
    # The gateway's host is another address than this one, and so are the hypervisors.
    guess = (
        "import http.client as h, ssl, sys, collections\n"
        "seen = collections.Counter()\n"
        "for number in range(1000):\n"
        f"    c = h.HTTPSConnection('{ADDRESS}', context=ssl._create_unverified_context())\n"
        "    c.request('POST', '/login', f'username=ada&password={number}',\n"
        f"        {{'Origin': 'https://{ADDRESS}',\n"
        "         'Content-Type': 'application/x-www-form-urlencoded'})\n"
        "    seen[c.getresponse().status] += 1\n"
        "print(dict(seen))\n"
    )
    done: list[str] = []
    thread = threading.Thread(
        target=lambda: done.append(gateway.check_output(f"python3 - <<'END'\n{guess}END"))
    )
    before, alone = wrong_ones(gateway), timed_log_in("ada")
    thread.start()
    try:
        wait_until(lambda: wrong_ones(gateway) > before, 60, "the first wrong password")
        newcomers = [
            timed_newcomer(hypervisors[host], name)
            for host, name in (("kvm17", "wim"), ("kvm18", "dora"))
        ]
        during = [timed_log_in("ada")]
        assert thread.is_alive(), "the guesses had ended before others came"
        while thread.is_alive():
            during.append(timed_log_in("ada"))
    finally:
        thread.join()
    after = timed_log_in("ada")
    # The longer the guesses take, the more log-ins there are of hers, of which the oldest go.
    cookies["ada"] = cookie_of(log_in("ada"))
    print(
        f"\nlog-in alone {alone:.2f} s, under guesses {max(during):.2f} s, after {after:.2f} s;"
        f" of others from new addresses under guesses {max(newcomers):.2f} s"
    )
    assert "303" not in done[0]
    assert "429" in done[0]
    assert max(*newcomers, *during, after) < alone + 10


def wrong_ones(gateway: Any) -> int:
    """Return how many wrong passwords from the gateway's own host were looked at so far."""
    told = [one for one in journal(gateway) if one["event"] == "login-failed"]
    return sum(one["client"] == ADDRESS for one in told)


def timed_newcomer(host: Any, name: str) -> float:
    """Return the seconds that a right password takes from a host where nobody has logged in."""
    come = (
        "import http.client as h, ssl, time, urllib.parse as u\n"
        "start = time.monotonic()\n"
        f"c = h.HTTPSConnection('{ADDRESS}', context=ssl._create_unverified_context())\n"
        f"form = u.urlencode({{'username': '{name}', 'password': \"{name}'s password\"}})\n"
        f"c.request('POST', '/login', form, {{'Origin': 'https://{ADDRESS}',\n"
        "    'Content-Type': 'application/x-www-form-urlencoded'})\n"
        "status = c.getresponse().status\n"
        "print(status, time.monotonic() - start)\n"
    )
    status, seconds = host.check_output(f"python3 - <<'END'\n{come}END").split()
    assert status == "303"
    return float(seconds)


def timed_log_in(name: str) -> float:
    """Return the seconds that a right password takes."""
    start = time.monotonic()
    assert cookie_of(log_in(name))
    return time.monotonic() - start
