# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Make what compose.yml's containers want to be given: certificates, and a gateway.yml.

Certificates are renewed whenever this runs and they are due; an account is made once.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path

import yaml
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import (
    SALT_BYTES,
    hash_password,
)
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request
from novnc_service.generations import write

ROOT = Path("/var/lib/novnc-setup")
USER = "admin"


def main() -> None:
    """Make what is missing."""
    portal, endpoint = os.environ["PORTAL"], os.environ["ENDPOINT"]
    pki, gateway = ROOT / "pki", ROOT / "gateway"
    Authority(pki).issue(
        [
            Request("servers/compose", "server", ("compose", endpoint)),
            Request("servers/portal", "server", (portal.partition(":")[0],)),
            Request("gateway", "client", ("gateway",)),
        ]
    )
    (gateway / "gateway").mkdir(exist_ok=True)
    for source, target in {
        "ca.crt": ROOT / "endpoint" / "ca.crt",
        "servers/compose.crt": ROOT / "endpoint" / "tls.crt",
        "servers/compose.key": ROOT / "endpoint" / "tls.key",
        "servers/portal.crt": gateway / "gateway" / "tls.crt",
        "servers/portal.key": gateway / "gateway" / "tls.key",
        "gateway.crt": gateway / "gateway" / "client.crt",
        "gateway.key": gateway / "gateway" / "client.key",
    }.items():
        if target.suffix == ".key":
            write(target, (pki / source).read_text(encoding="utf-8"))
        else:
            shutil.copy(pki / source, target)
    shutil.copy(pki / "ca.crt", gateway / "gateway" / "ca.crt")
    # Kept where nobody else looks, so that another start can tell it again.
    kept, written = pki / "password", gateway / "gateway.yml"
    # An empty one is what a crash has left, where it was not yet written as a whole.
    if not kept.exists() or (kept.stat().st_size == 0 and not written.exists()):
        write(kept, secrets.token_urlsafe(12))
    if not written.exists():
        write(
            written, yaml.safe_dump(_settings(portal, endpoint, kept.read_text(encoding="utf-8")))
        )
    _compare(written.read_text(encoding="utf-8"), portal, endpoint)
    print(f"https://{portal}/ as {USER}, with the password {kept.read_text(encoding='utf-8')}")


def _compare(settings: str, portal: str, endpoint: str) -> None:
    """Tell what a gateway.yml of before, which is somebody's by now, does not have."""
    for key, value in (("novnc_gateway_names", portal), ("novnc_hypervisors", endpoint)):
        if not re.search(rf"\b{re.escape(value)}\b", settings):
            print(
                f"gateway.yml, in the volume 'gateway', does not have {value}; if the name,"
                f" the port or the network was changed, write it there ({key}), or have all made"
                " anew (docker compose down -v)"
            )


def _settings(portal: str, endpoint: str, password: str) -> dict[str, object]:
    hashed = hash_password(password, secrets.token_bytes(SALT_BYTES))
    return {
        "novnc_gateway_names": [portal],
        "novnc_gateway_users": {USER: {"password_hash": hashed}},
        "novnc_gateway_admins": [f"user:{USER}"],
        "novnc_hypervisors": {"hosts": {"compose": {"ansible_host": endpoint}}},
    }


if __name__ == "__main__":
    main()
