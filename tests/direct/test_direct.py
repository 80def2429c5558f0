"""What the demo's direct consoles are not: over TLS, of a unix socket, of an IPv6 address."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import warnings
from pathlib import Path

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError

from tests.browser.viewer import FLAGS, chromium_program
from tests.harness.fleet import CA, Console, consoles, fingerprints, hosts, run_playbook
from tests.harness.project import ROOT

SITE, CHECK = ROOT / "playbooks" / "site.yml", ROOT / "playbooks" / "check.yml"
KEY = "/etc/ssl/novnc/console.key"


@pytest.fixture
def unix() -> Console:
    """Return the console of the VM with a VNC server on a unix socket."""
    return next(one for one in consoles() if one.vm == "db01")


@pytest.fixture
def ipv6() -> Console:
    """Return the console of the VM with a VNC server on IPv6."""
    return next(one for one in consoles() if one.vm == "mail01")


def test_old_tls_is_refused(unix: Console) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(CA)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(unix.address, timeout=10) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(plain, server_hostname=unix.address[0])


def test_a_browser_that_does_not_know_the_authority_refuses(tmp_path: Path) -> None:
    # Without Playwright: it runs once only, for the tests of browsers that know the authority.
    chromium = [chromium_program(), *FLAGS, "--headless", "--no-sandbox", "--dump-dom"]
    for console in consoles():
        done = subprocess.run(
            [*chromium, console.url],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "ERR_CERT_AUTHORITY_INVALID" in done.stderr
        assert done.stdout == ""


def test_a_unix_target_has_no_network(unix: Console) -> None:
    with unix.session():
        assert unix.on.check_output(f"systemctl show -P PrivateNetwork {unix.service}") == "yes"
        log = unix.on.check_output(f"journalctl -b -o cat _PID=1 -u {unix.service}")
        assert "proceeding without" not in log
        devices = unix.on.check_output(f"grep -h : /proc/{unix.main_pid()}/net/dev").split()
        assert [word for word in devices if word.endswith(":")] == ["lo:"]


def test_a_tcp_target_has_its_hosts_network(ipv6: Console) -> None:
    with ipv6.session():
        assert "eth0:" in ipv6.on.check_output(f"cat /proc/{ipv6.main_pid()}/net/dev")


def test_only_its_group_may_open_the_unix_socket(unix: Console) -> None:
    connect = "import socket; socket.socket(socket.AF_UNIX).connect('/run/qemu/db01.vnc')"
    run = "setpriv --reuid nobody --regid nogroup"
    assert unix.on.run(f'{run} --clear-groups python3 -c "{connect}"').rc != 0
    assert unix.on.run(f'{run} --groups qemu-vnc python3 -c "{connect}"').rc == 0


def test_without_its_certificate_it_turns_visitors_away(ipv6: Console) -> None:
    ipv6.on.check_output(f"mv {KEY} {KEY}.away && systemctl stop {ipv6.service}")
    try:
        words = "this console cannot work"
        starts = f"journalctl -o cat -u {ipv6.service} | grep -c '{words}' || true"
        before = int(ipv6.on.check_output(starts))
        for _ in range(5):
            with pytest.raises(HopError) as refused, ipv6.session():
                pass
            assert refused.value.hop == "tls"
        # Nobody is waiting, so nothing is started over and over.
        assert 1 <= int(ipv6.on.check_output(starts)) - before <= 5
    finally:
        ipv6.on.check_output(f"mv {KEY}.away {KEY}")
    with ipv6.session() as client:
        assert client.info.name == "QEMU (mail01)"


@pytest.mark.parametrize(
    ("cert", "words"), [("/nowhere.crt", "cannot be read"), ("/etc/hostname", "no certificate")]
)
def test_a_certificate_that_cannot_work_is_refused(cert: str, words: str) -> None:
    before = fingerprints()
    run = run_playbook(SITE, "-e", f"novnc_console_tls_cert={cert}")
    assert run.status == 2
    assert cert in run.output
    assert words in run.output
    assert fingerprints() == before


def test_a_check_passes_from_here_and_from_the_hypervisor() -> None:
    for name, host in hosts().items():
        host.check_output("mkdir -p /run/demo")
        subprocess.run(
            ["docker", "exec", "-i", f"novnc-fleet-{name}", "tee", "/run/demo/ca.crt"],
            input=CA.read_bytes(),
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )
    there = ("-e", "novnc_check_from=hypervisor novnc_check_ca=/run/demo/ca.crt")
    for options in ((), there):
        run = run_playbook(CHECK, *options)
        assert (run.status, run.changed) == (0, 0), run.output
        assert ("localhost" in run.output) == (options == ())
        for console in consoles():
            words = " ".join(run.output.split())
            assert f"{console.host} {console.vm} running {console.url}" in words
