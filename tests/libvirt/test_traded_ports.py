"""Domains that trade their displays at each start are shown rightly, or not at all."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import guest_image
import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError, StreamClosedError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient

from tests.endpoint.conftest import Endpoint
from tests.harness.fleet import background, hosts, variables
from tests.harness.repeats import times
from tests.libvirt.domains import define, forget

HOST = "kvm4"
DOMAINS = ("red", "green", "blue")
ROUNDS = times(50, test=10)
BOOTING = (0, 0, 0)
"""Background before the guest has started."""
CLEAR = (
    "is switched off",
    "cannot be reached",
    "closed the connection at once",
    "shows another VM",
    "was switched off, restarted or moved",
    "libvirt did not answer within",
)
"""What a visitor may hear who comes while a domain is restarted.

The last is heard on busy machines: libvirt lists nothing while it holds a domain's lock.
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    """Return the host's endpoint, with domains that get whatever display is free."""
    found = Endpoint(hosts()[HOST], variables()[HOST]["ansible_host"])
    for name in DOMAINS:
        define(found.on, name, "<graphics type='vnc' port='-1' autoport='yes'/>")
        found.on.check_output(f"virsh start {name}")
    yield found
    for name in DOMAINS:
        forget(found.on, name)


def orders(rounds: int) -> Iterator[tuple[list[str], list[str]]]:
    """Yield for each round in which order domains go and come; the same each time."""
    dice = random.Random(1)  # noqa: S311 (a shuffle, no secret)
    for _ in range(rounds):
        yield dice.sample(DOMAINS, 3), dice.sample(DOMAINS, 3)


def restart(host: Any, going: list[str], coming: list[str]) -> list[str]:
    """Restart all domains; return the displays that they have now."""
    commands = [f"destroy {name}" for name in going] + [f"start {name}" for name in coming]
    commands += [f"domdisplay {name}" for name in DOMAINS]
    said = host.check_output(f"virsh -q '{'; '.join(commands)}'")
    return [display.strip() for display in said.split("vnc://")[1:]]


def in_order(coming: list[str]) -> list[str]:
    """Return the displays that libvirt hands out where nobody is in its way: the lowest first."""
    return [f"127.0.0.1:{coming.index(name)}" for name in DOMAINS]


def look(endpoint: Endpoint, name: str) -> str:
    """Return what a visitor comes to: ``right``, ``gone`` or a refusal.

    Raises:
        AssertionError: It was another VM's screen, or nobody said why there was none.
    """
    try:
        with endpoint.open(name, timeout=60) as stream:
            client = RfbClient(stream)
            assert client.handshake().name == f"QEMU ({name})"
            while (seen := background(client)) == BOOTING:
                pass
            assert seen == guest_image.colour(name)
        return "right"
    except (HopError, StreamClosedError) as error:
        said = str(error)
    assert any(words in said for words in CLEAR), said
    return said


def looks(endpoint: Endpoint, name: str, restarted: threading.Event) -> list[str]:
    """Look at a domain over and over, and once more when it has been restarted."""
    found = []
    while not restarted.is_set():
        found.append(look(endpoint, name))
    return [*found, look(endpoint, name)]


def test_visitors_see_their_domain_while_domains_trade_displays(endpoint: Endpoint) -> None:
    last, refusals = [], []
    with ThreadPoolExecutor(len(DOMAINS)) as visitors:
        for going, coming in orders(ROUNDS):
            restarted = threading.Event()
            visits = [visitors.submit(looks, endpoint, name, restarted) for name in DOMAINS]
            try:
                assert restart(endpoint.on, going, coming) == in_order(coming)
            finally:
                restarted.set()
            for visit in visits:
                *before, after = visit.result()
                refusals += [one for one in before if one != "right"]
                last.append(after)
    assert last == ["right"] * (ROUNDS * len(DOMAINS))
    assert refusals, "nobody came while a domain was down"


def test_libvirt_hands_out_the_same_displays_without_us(endpoint: Endpoint) -> None:
    """What the test above expects is what there is where neither consoles nor endpoint are."""
    endpoint.on.check_output(
        "systemctl stop novnc-endpoint.service novnc-endpoint.socket novnc-consoles.target"
    )
    try:
        listening = endpoint.on.check_output("ss -Htln")
        assert ":16900" not in listening
        assert ":16000" not in listening
        for going, coming in orders(5):
            assert restart(endpoint.on, going, coming) == in_order(coming)
    finally:
        consoles = " ".join(f"novnc-console@{name}.socket" for name in DOMAINS)
        endpoint.on.check_output(
            f"systemctl start novnc-endpoint.socket novnc-consoles.target {consoles}"
        )
