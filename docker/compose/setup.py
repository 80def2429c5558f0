# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Make what compose.yml's containers want to be given: certificates, and a gateway.yml.

Certificates are renewed whenever this runs and they are due; an account is made once.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import yaml
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import (
    SALT_BYTES,
    hash_password,
)
from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

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
        shutil.copy(pki / source, target)
    shutil.copy(pki / "ca.crt", gateway / "gateway" / "ca.crt")
    written = gateway / "gateway.yml"
    if written.exists():
        print(f"https://{portal}/ (the account is there since the first start)")
        return
    password = secrets.token_urlsafe(12)
    settings = {
        "novnc_gateway_names": [portal],
        "novnc_gateway_users": {
            USER: {"password_hash": hash_password(password, secrets.token_bytes(SALT_BYTES))}
        },
        "novnc_gateway_admins": [f"user:{USER}"],
        "novnc_hypervisors": {"hosts": {"compose": {"ansible_host": endpoint}}},
    }
    written.write_text(yaml.safe_dump(settings), encoding="utf-8")
    written.chmod(0o600)
    print(f"https://{portal}/ as {USER}, with the password {password}")


if __name__ == "__main__":
    main()
