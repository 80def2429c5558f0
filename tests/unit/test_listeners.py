"""What listens on a host, as ss tells it, and what cannot live side by side."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.listeners import Listener, parse_ss

SS = """\
LISTEN 0      128          0.0.0.0:22        0.0.0.0:*    users:(("sshd",pid=38,fd=3))
LISTEN 0      128             [::]:22           [::]:*    users:(("sshd",pid=38,fd=4))
LISTEN 0      4096               *:9090            *:*    users:(("x",pid=7,fd=9),("y",pid=8,fd=9))
LISTEN 0      1              [::1]:5900         [::]:*
LISTEN 0      4096   127.0.0.53%lo:53        0.0.0.0:*    users:(("systemd-resolve",pid=5,fd=1))
"""


def listener(address: str, *, v6_only: bool = False) -> Listener:
    return Listener(ipaddress.ip_address(address), 5900, "x", v6_only)


def test_what_ss_prints() -> None:
    assert [(str(one), one.owner, one.v6_only) for one in parse_ss(SS)] == [
        ("0.0.0.0:22", "sshd, process 38", False),
        ("[::]:22", "sshd, process 38", True),
        ("[::]:9090", "x, process 7", False),
        ("[::1]:5900", "an unknown program", False),
        ("127.0.0.53:53", "systemd-resolve, process 5", False),
    ]


def test_what_is_no_listener_is_passed_over() -> None:
    assert parse_ss("\nnonsense\nLISTEN 0 1 unix:x y\n") == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "::1", False),
        ("::", "::1", True),
        ("::", "127.0.0.1", True),
        ("::", "0.0.0.0", True),
    ],
)
def test_overlaps(one: str, other: str, expected: bool) -> None:
    assert listener(one).overlaps(listener(other)) is expected
    assert listener(other).overlaps(listener(one)) is expected


def test_v6_only_leaves_ipv4_alone() -> None:
    assert not listener("::", v6_only=True).overlaps(listener("127.0.0.1"))
    assert listener("::", v6_only=True).overlaps(listener("::1"))
