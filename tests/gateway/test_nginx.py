"""The gateway's nginx may have other sites, and settings of its administrator's."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.gateway.visitor import ADDRESS, ask
from tests.harness.fleet import run_playbook
from tests.harness.waiting import wait_until

GATEWAY = "playbooks/gateway.yml"
DEFAULT = "/etc/nginx/sites-enabled/default"
OWN_CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=others"
    " -keyout /run/others.key -out /run/others.crt 2>/dev/null"
)


@contextmanager
def having(gateway: Any, path: str, text: str) -> Iterator[None]:
    """Have a file of an administrator's in nginx for a while."""
    gateway.check_output(f"set -C; printf '%s' '{text}' > {path}")
    try:
        gateway.check_output("nginx -t -q && systemctl reload nginx")
        yield
    finally:
        gateway.check_output(f"rm -f {path} && nginx -t -q && systemctl reload nginx")


def plain(host: str) -> str:
    """Return what is answered on port 80."""
    with socket.create_connection((ADDRESS, 80), timeout=30) as sock:
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(4096), b"")).decode()


OTHERS = """
server {
    listen 80 default_server;
    listen 443 ssl default_server;
    ssl_certificate /etc/novnc-fleet/gateway/tls.crt;
    ssl_certificate_key /etc/novnc-fleet/gateway/tls.key;
    return 200 "an administrator\\x27s own\\n";
}
"""


def test_the_sample_site_is_out_of_service(gateway: Any) -> None:
    gateway.check_output(f"ln -s ../sites-available/default {DEFAULT} && systemctl reload nginx")
    wait_until(lambda: "Welcome to nginx!" in plain("anybody"), 60, "nginx's own site")
    assert run_playbook(GATEWAY).changed == 2
    assert not gateway.file(DEFAULT).exists
    wait_until(lambda: "Welcome to nginx!" not in plain("anybody"), 60, "the portal")
    kept = "/etc/novnc-fleet/gateway/sample-site"
    assert gateway.check_output(f"readlink {kept}") == "../sites-available/default"


def test_an_administrators_own_site_by_default_stays_and_so_do_limits(gateway: Any) -> None:
    limits = "/etc/nginx/modules-enabled/10-others.conf"
    with (
        having(gateway, DEFAULT, OTHERS),
        having(gateway, limits, "worker_rlimit_nofile 4096;\n"),
    ):
        before = gateway.check_output(f"cat {DEFAULT}")
        run = run_playbook(GATEWAY)
        assert (run.status, run.changed) == (0, 0)
        assert "sites-enabled/default on gw2 is not as the distribution has it, and stays" in (
            " ".join(run.output.split())
        )
        assert gateway.check_output(f"cat {DEFAULT}") == before
        assert "an administrator" in plain("others.example.test")
        assert plain(ADDRESS).startswith("HTTP/1.1 301")
        assert ask("/healthz").body == b"ok\n"


def test_a_sample_that_somebody_has_changed_stays(gateway: Any) -> None:
    sample = "/etc/nginx/sites-available/default"
    gateway.check_output(f"cp -p {sample} /run/sample && echo '# changed' >> {sample}")
    gateway.check_output(f"ln -s {sample} {DEFAULT}")
    try:
        assert run_playbook(GATEWAY).changed == 0
        assert gateway.check_output(f"readlink {DEFAULT}") == sample
    finally:
        gateway.check_output(f"rm {DEFAULT} && cp -p /run/sample {sample}")
        gateway.check_output("systemctl reload nginx")


def test_a_site_that_takes_its_name_is_told(gateway: Any) -> None:
    gateway.check_output(OWN_CERTIFICATE)
    site = (
        f"server {{ listen 443 ssl; server_name {ADDRESS}; return 200 others;"
        " ssl_certificate /run/others.crt; ssl_certificate_key /run/others.key; }\n"
    )
    with having(gateway, "/etc/nginx/conf.d/a-others.conf", site):
        run = run_playbook(GATEWAY)
        assert run.status == 2
        assert (
            f"https://{ADDRESS}/healthz, asked at 127.0.0.1:443, shows another certificate than"
            " that in /etc/novnc-fleet/gateway/tls.crt: another site"
            in " ".join(run.output.split())
        )


def test_nginx_has_files_for_many_consoles(gateway: Any) -> None:
    limits = gateway.check_output("cat /proc/$(systemctl show -P MainPID nginx)/limits")
    found = re.search(r"^Max open files +(\d+)", limits, re.MULTILINE)
    assert found
    # 65,536, or as many as the machine that the containers are on allows.
    assert int(found[1]) > 1024
