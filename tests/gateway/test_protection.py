"""Foreign pages, evil Hosts, paths that lead elsewhere, slow visitors, old TLS."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.gateway.conftest import VMS
from tests.gateway.visitor import (
    ADDRESS,
    ORIGIN,
    ask,
    context,
    cookie_of,
    log_in,
    name_shown,
    refused,
)
from tests.harness.fleet import run_playbook

EVIL = "evil.example"
ORIGINS = [
    None, "", "null", f"https://{EVIL}", f"http://{ADDRESS}", f"https://{ADDRESS}:8443",
    f"https://{ADDRESS}.{EVIL}", f"https://{EVIL}/{ADDRESS}", f"{ORIGIN}/", f"{ORIGIN}@{EVIL}",
    f"https://{EVIL}@{ADDRESS}", f"{ORIGIN} https://{EVIL}", f"https://{EVIL}, {ORIGIN}", "file://",
    f"wss://{ADDRESS}", f"https://x{ADDRESS}", f"{ORIGIN}\\", f"{ORIGIN}#", f"{ORIGIN}?x", ADDRESS,
]  # fmt: skip
HOSTS = [
    EVIL, f"{ADDRESS}.{EVIL}", f"{EVIL}#{ADDRESS}", f"{ADDRESS}@{EVIL}", f"{EVIL}:443", "localhost",
    f"{ADDRESS}:8443", "127.0.0.1", "", None, f"{ADDRESS}/", f"{EVIL}?{ADDRESS}", f"x{ADDRESS}",
    "unix", "novnc-directory", f"{ADDRESS} {EVIL}", "[::1]", f"gw2.example.test.{EVIL}", "-", "*",
]  # fmt: skip

SLOW = 30.0
"""Seconds in which slow headers are cut off: 10 where a machine is not busy with other things, and
60 were it left to nginx."""


def traversals(novnc: str) -> Iterator[str]:
    """Return paths to files that are not for visitors."""
    portal = "/portal/0123456789abcdef"
    for up in ("..", "%2e%2e", "..%2f..", "%252e%252e", "..;", ".%2e"):
        yield f"{novnc}/{up}/{up}/{up}/{up}/etc/passwd"
        yield f"{portal}/{up}/novnc_directory/settings.py"
    yield from (
        f"{novnc}{path}" for path in ("", "/", "/core", "/core/", "/app/images/", "/core/..")
    )
    yield from (
        f"{novnc}/{path}" for path in (".git/config", "core/.x.js", "vnc_auto.html", "utils/")
    )
    yield from (f"{novnc}-x/vnc.html", "/novnc/current/vnc.html", "/novnc/", f"{novnc}../novnc.js")
    yield from (
        f"{portal}/",
        "/portal/",
        f"{portal}/link.js",
        f"{novnc}/core/link.js",
        "/.well-known",
    )
    yield from (f"{portal}/..%5c..%5cetc", f"{novnc}/core/link/passwd", f"//{novnc}/%2e%2e//")


REDIRECTS = [
    f"//{EVIL}/", f"//{EVIL}/%2F..", f"/%2F{EVIL}/", f"/\\{EVIL}/", f"/%5C{EVIL}/", f"///{EVIL}",
    f"//{EVIL}/vm/db01", f"/vm//{EVIL}", f"/vm/%2F{EVIL}", f"https://{EVIL}/", f"/.//{EVIL}/..",
    f"/vm/..//{EVIL}/", f"/%09/{EVIL}", f"/%0d%0aLocation:%20https://{EVIL}/",
]  # fmt: skip
NEXTS = [
    f"//{EVIL}/", f"https://{EVIL}/", f"/\\{EVIL}", f"\\\\{EVIL}", f"/\t/{EVIL}", f"/\n/{EVIL}",
    f" //{EVIL}", "javascript:alert(1)", f"///{EVIL}", f"/%0a/{EVIL}\r\nX: 1", EVIL, "",
]  # fmt: skip


@pytest.fixture(scope="module")
def novnc(gateway: Any) -> str:
    """Return where noVNC's files are."""
    return str(re.search(r'"novnc": "([^"]+)"', read(gateway))[1])  # type: ignore[index]


def read(gateway: Any) -> str:
    """Return the directory's settings."""
    host, container = "/etc/novnc-fleet/gateway.json", "/run/novnc-gateway/current/gateway.json"
    return str(gateway.check_output(f"cat {host} 2>/dev/null || cat {container}"))


def test_a_page_of_the_gateways_own_opens_a_console(cookies: dict[str, str]) -> None:
    for origin in (ORIGIN, ORIGIN.upper().replace("HTTPS", "https"), "https://gw2.example.test"):
        assert name_shown("db01", cookies["ada"], origin=origin) == "QEMU (db01)"


@pytest.mark.parametrize("origin", ORIGINS)
def test_no_other_page_does(cookies: dict[str, str], origin: str | None) -> None:
    # An empty one is a header all the same.
    headers = {"Origin": ""} if origin == "" else {}
    assert refused("db01", cookies["ada"], origin=origin, headers=headers) in (400, 403)


@pytest.mark.parametrize("origin", ORIGINS)
def test_no_other_page_logs_anybody_in_or_out(cookies: dict[str, str], origin: str | None) -> None:
    form = urlencode({"username": "noor", "password": "noor's password"})
    headers = {"Origin": origin}
    answer = ask("/login", "POST", body=form, headers=headers)
    assert (answer.status in (400, 403), cookie_of(answer)) == (True, "")
    assert ask("/logout", "POST", cookie=cookies["noor"], headers=headers).status in (400, 403)
    assert ask("/consoles.json", cookie=cookies["noor"]).status == 200


@pytest.mark.parametrize("host", HOSTS)
def test_an_evil_host_leads_nowhere(cookies: dict[str, str], host: str | None) -> None:
    for path in ("/", "/login", "/consoles.json", "/vm/db01", "/vm/db01/", "/healthz"):
        answer = ask(path, cookie=cookies["ada"], headers={"Host": host})
        assert answer.status in (400, 421), path
        assert not any(vm.encode() in answer.body for vm in VMS)
        assert EVIL not in answer.headers.get("Location", "")


@pytest.mark.parametrize("host", [EVIL, f"{ADDRESS}@{EVIL}", ADDRESS, "gw2.example.test"])
def test_plain_http_only_redirects_and_never_by_host(host: str) -> None:
    for path in ("/vm/db01/", *REDIRECTS):
        with socket.create_connection((ADDRESS, 80), timeout=10) as sock:
            sock.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            head = b"".join(iter(lambda: sock.recv(4096), b"")).decode()
        if found := re.search(r"^Location: (.*)\r$", head, re.MULTILINE):
            goal = urlsplit(found[1])
            assert (goal.scheme, goal.netloc) in {
                ("https", ADDRESS),
                ("https", "gw2.example.test"),
            }
        else:
            assert re.match(r"HTTP/1\.1 4\d\d ", head), head


@pytest.mark.parametrize("path", REDIRECTS)
def test_no_redirect_leads_away(cookies: dict[str, str], path: str) -> None:
    for cookie in ("", cookies["ada"]):
        answer = ask(path, cookie=cookie)
        goal = answer.headers.get("Location", "/")
        assert re.match(r"/(?![/\\])", goal), f"{answer.status} {goal}"


@pytest.mark.parametrize("goal", NEXTS)
def test_no_log_in_leads_away(goal: str) -> None:
    form = urlencode({"username": "noor", "password": "noor's password", "next": goal})
    answer = ask("/login", "POST", body=form)
    assert (answer.status, answer.headers["Location"]) == (303, "/")


def test_no_path_leads_to_other_files(gateway: Any, novnc: str) -> None:
    assert ask(f"{novnc}/core/rfb.js").status == 200
    link = "/usr/local/lib/novnc-directory/portal/link.js"
    core = "/usr/share/novnc/core/link"
    gateway.check_output(f"ln -sf /etc/passwd {link} && ln -sfn /etc {core}")
    gateway.check_output(f"ln -sf /etc/passwd {core}.js && echo x > /usr/share/novnc/core/.x.js")
    try:
        probes = list(traversals(novnc))
        for path in probes:
            answer = ask(path)
            assert answer.status in (303, 400, 403, 404), path
            assert b"root:" not in answer.body, path
            assert answer.headers.get("Location", "/login").startswith("/login"), path
        assert len(probes) >= 25
    finally:
        gateway.check_output(f"rm {link} {core} {core}.js /usr/share/novnc/core/.x.js")


def test_novncs_files_are_versioned_compressed_and_kept(novnc: str) -> None:
    answer = ask(f"{novnc}/core/rfb.js", headers={"Accept-Encoding": "gzip"})
    assert answer.status == 200
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "max-age=" in answer.headers["Cache-Control"]
    again = ask(f"{novnc}/core/rfb.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


def test_answers_bear_the_headers_that_protect(cookies: dict[str, str], novnc: str) -> None:
    for path in ("/", "/login", "/nothing", f"{novnc}/vnc.html", f"{novnc}/nothing"):
        headers = ask(path, cookie=cookies["ada"]).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert ("sha256-" in policy) == path.endswith("vnc.html")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "max-age=63072000" in headers["Strict-Transport-Security"]
        assert headers.get_all("Content-Security-Policy") == [policy]


def test_slow_headers_are_cut_off_and_500_of_them_cost_a_log_in_nothing() -> None:
    alone = took(lambda: log_in("noor"))
    with ExitStack() as stack:
        lines = []
        for _ in range(500):
            sock = stack.enter_context(socket.create_connection((ADDRESS, 443), timeout=60))
            lines.append(stack.enter_context(context().wrap_socket(sock, server_hostname=ADDRESS)))
            lines[-1].sendall(b"GET / HTTP/1.1\r\nHost: ")
        start = time.monotonic()
        assert took(lambda: log_in("noor")) < max(10.0, 10 * alone)
        for line in (*lines[::50], lines[-1]):
            line.settimeout(SLOW)
            assert line.recv(1) == b""
        seconds = time.monotonic() - start
    print(f"\nlog-in alone {alone:.2f} s, the last slow headers are cut off in {seconds:.1f} s")
    assert seconds < SLOW


def took(action: Any) -> float:
    """Return the seconds that a log-in takes."""
    start = time.monotonic()
    assert cookie_of(action())
    return time.monotonic() - start


def test_endless_headers_are_refused() -> None:
    answer = ask("/", headers={f"X-{number}": "x" * 4000 for number in range(20)})
    assert answer.status in (400, 431)
    assert ask("/login", "POST", body="x" * 100_000).status == 413


def test_the_sandbox_is_tight(gateway: Any) -> None:
    gateway.check_output("systemd-analyze security --threshold=15 novnc-directory.service")
    assert gateway.check_output(
        "ps -o user:20= -p $(systemctl show -P MainPID novnc-directory)"
    ) == ("novnc-directory")


def test_no_secret_is_in_a_log_or_readable(gateway: Any, cookies: dict[str, str]) -> None:
    log_in("ada", "a wrong one, nearly right")
    logs = gateway.check_output("journalctl -o cat; cat /var/log/nginx/*.log")
    for secret in (*cookies.values(), "ada's password", "a wrong one, nearly right", "scrypt$"):
        assert secret not in logs
    users = "/etc/novnc-fleet/gateway-users.json"
    assert gateway.check_output("grep -rl 'scrypt\\$15' /etc /var/lib /run --include='*'") == users
    assert gateway.run(f"runuser -u nobody -- cat {users}").rc != 0
    assert gateway.run('grep -r "ada\'s password" /etc /usr/local /var/lib /run/novnc*').rc == 1


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ('{"novnc_gateway_names": ["https://gw/"]}', "no public name"),
        ('{"novnc_gateway_users": {"kim": {"password": ""}}}', "no text, or empty"),
        (
            '{"novnc_gateway_users": {"kim": {"password_hash": "hunter22"}}}',
            "password hash must be",
        ),
        ('{"novnc_gateway_rules": [{"match": "*", "watch": ["everybody"]}]}', "everybody"),
        ('{"novnc_gateway_admins": ["user:adda"]}', "user:adda"),
        ('{"novnc_gateway_metrics_address": "0.0.0.0:9"}', "loopback"),
        ('{"novnc_gateway_addresses": ["gw2"]}', "no IP address"),
        ('{"novnc_gateway_tls_cert": "/x"}', "belong together"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(value: str, sentence: str) -> None:
    run = run_playbook("playbooks/gateway.yml", "-vvv", "-e", value)
    assert run.status == 2
    assert sentence in run.output
    assert run.changed == 0
    assert "hunter22" not in run.output.replace(value, "").replace(value.replace('"', '\\"'), "")


def test_check_makes_no_secret_on_the_controller(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    run = run_playbook("playbooks/gateway.yml", "--check", "-e", f"novnc_pki_dir={pki}")
    assert run.status == 0, run.output
    assert not pki.exists()


def test_check_tells_of_nothing_where_there_is_nothing_to_do() -> None:
    run = run_playbook("playbooks/gateway.yml", "--check")
    assert (run.status, run.changed) == (0, 0), run.output


def test_what_nginx_refuses_is_never_in_force(gateway: Any, cookies: dict[str, str]) -> None:
    ours = "cat /etc/nginx/conf.d/novnc-gateway.conf /etc/nginx/modules-enabled/90-*"
    before = gateway.check_output(ours)
    gateway.check_output("echo 'server { nonsense; }' > /etc/nginx/conf.d/others.conf")
    try:
        run = run_playbook(
            "playbooks/gateway.yml", "-e", "novnc_gateway_worker_shutdown_timeout=60"
        )
        assert run.status == 2
        assert 'unknown directive \\"nonsense\\"' in run.output.replace(
            '"nonsense"', '\\"nonsense\\"'
        )
        assert gateway.check_output(ours) == before
        assert name_shown("db01", cookies["ada"]) == "QEMU (db01)"
    finally:
        gateway.check_output("rm /etc/nginx/conf.d/others.conf")
    assert run_playbook("playbooks/gateway.yml").changed == 0
