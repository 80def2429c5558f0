# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What the mounted file of a gateway comes to: the settings of nginx and of the directory."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.notation import parse_port
from novnc_directory.endpoints import client_context
from novnc_directory.settings import read_settings
from novnc_image.environment import WrittenError
from novnc_service.generations import Generations, write
from novnc_service.role import Role, read_written, used
from novnc_service.templating import Variables

WRITTEN = "/etc/novnc-fleet/gateway.yml"
RUN = "/run/novnc-gateway"
SOCKET = f"{RUN}/http.sock"
"""Where nginx asks the directory."""
DIRECTORY_JSON, NGINX_CONF = f"{RUN}/current/gateway.json", f"{RUN}/current/nginx.conf"
HEALTH_JSON = f"{RUN}/current/health.json"
NGINX = "/usr/sbin/nginx"
_NGINX_MAIN = "/usr/local/share/novnc-fleet/nginx.conf"
_CONTENT = "/usr/local/lib/novnc-directory/image.json"
_STATE = "/var/lib/novnc-directory"
_MORE = frozenset({"novnc_hypervisors", "inventory_hostname"})
# What is of no use in a container: units, and authorities of a controller.
_NOT_HERE = ("novnc_pki_dir", "novnc_gateway_manage_units", "novnc_gateway_firewall")


def make(generations: Generations, listening: str = "") -> str:
    """Make what nginx and the directory read, and put it in force.

    Args:
        generations: Where it goes.
        listening: Where figures are answered by now, which only another start could move.

    Returns:
        Where figures are answered.

    Raises:
        WrittenError: What is written cannot work.
    """
    role, written = Role("novnc_gateway"), read_written(WRITTEN)
    role.check_keys(WRITTEN, written, _MORE)
    for key in _NOT_HERE:
        if key in written:
            raise WrittenError(f"{WRITTEN}: {key} means nothing in a container; leave it out")
    known = {**_content(), **_hosts(written.get("novnc_hypervisors") or {})}
    known["_novnc_gateway_socket"] = SOCKET
    with used(WRITTEN), generations.another() as made:
        variables = role.variables(written, {**known, "_novnc_gateway_run": str(made)})
        role.refuse(WRITTEN, "written", variables)
        if not variables["novnc_gateway_addresses"]:
            raise WrittenError(
                f"{WRITTEN}: novnc_gateway_addresses is empty, so nobody could come; write such as"
                " 0.0.0.0, or leave it out"
            )
        metrics = str(variables["novnc_gateway_metrics_address"])
        if listening not in ("", metrics):
            raise WrittenError(
                f"{WRITTEN}: novnc_gateway_metrics_address is {metrics!r}, and was {listening!r}:"
                " that takes a new start of the container"
            )
        _write(made, role, variables)
        _check(made, variables["_novnc_gateway_files"])
    return metrics


def _content() -> dict[str, Any]:
    """Return what the role would know of its host: what is installed in this image."""
    with open(_CONTENT, encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    page = Path(found["novnc_web_root"], "vnc.html").read_bytes()
    return {
        "inventory_hostname": "localhost",
        "ansible_managed": "Made by the container's start from gateway.yml",
        **found,
        "_novnc_gateway_page": {"content": base64.b64encode(page).decode()},
    }


def _hosts(group: object) -> dict[str, Any]:
    """Return hypervisors as an inventory's variables have them. Raises WrittenError."""
    fault = WrittenError(
        f"{WRITTEN}: novnc_hypervisors is no group of hosts; write such as"
        " novnc_hypervisors: {hosts: {kvm1: {ansible_host: 192.0.2.2}}}"
    )
    if not isinstance(group, Mapping) or set(group) - {"hosts", "vars"}:
        raise fault
    hosts, shared = group.get("hosts") or {}, group.get("vars") or {}
    if not (isinstance(hosts, Mapping) and isinstance(shared, Mapping)):
        raise fault
    if not all(isinstance(said or {}, Mapping) for said in hosts.values()):
        raise fault
    found = {str(name): {**shared, **(said or {})} for name, said in hosts.items()}
    for name, said in found.items():
        _check_port(name, said.get("novnc_endpoint_port", 1))
    return {"groups": {"novnc_hypervisors": list(found)}, "hostvars": found}


def _check_port(host: str, port: object) -> None:
    # An inventory may have a number as text, but YAML's true is Python's 1.
    try:
        parse_port("" if isinstance(port, bool) else str(port))
    except ValueError:
        raise WrittenError(
            f"{WRITTEN}: novnc_endpoint_port of {host} in novnc_hypervisors is {port!r};"
            " write a number from 1 to 65535"
        ) from None


def _write(made: Path, role: Role, variables: Variables) -> None:
    users = variables.with_more(
        {"accounts": "{{ novnc_gateway_users | novnc.fleet.gateway_accounts(_salts) }}"}
    )
    users = users.with_more({"_salts": _salts()})
    write(made / "users.json", json.dumps(users["accounts"]))
    settings = {
        **variables["_novnc_gateway_settings"],
        "users": str(made / "users.json"),
        "control": f"{RUN}/control.sock",
        "state": f"{_STATE}/state.db",
    }
    write(made / "gateway.json", json.dumps(settings))
    for name in ("cert", "key", "ca", "tls_cert"):
        (made / name).symlink_to(variables["_novnc_gateway_files"][name])
    shutil.copyfile(_NGINX_MAIN, made / "nginx.conf")
    write(made / "main.conf", role.template("nginx-main.conf.j2", variables))
    write(made / "site.conf", role.template("nginx-site.conf.j2", variables))
    health = {
        "address": variables["novnc_gateway_addresses"][0],
        "port": variables["novnc_gateway_port"],
        "name": variables["_novnc_gateway_names"][0],
        "metrics": settings["metrics"],
    }
    write(made / "health.json", json.dumps(health))


def _salts() -> str:
    """Return the secret from which the salts of plain passwords come; it stays with the log-ins."""
    path = Path(_STATE, "password-salts")
    try:
        # An empty one is what a crash has left, where it was not yet written as a whole.
        if not path.exists() or path.stat().st_size == 0:
            write(path, secrets.token_hex(32))
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise WrittenError(
            f"{path} cannot be had by uid {os.getuid()}: {error.strerror};"
            f" mount a volume at {_STATE} that it may write to"
        ) from None


def _check(made: Path, files: Mapping[str, str]) -> None:
    """See that both can use what has been made. Raises WrittenError."""
    for path in files.values():
        if not os.access(path, os.R_OK):
            raise WrittenError(f"{path} is not there, or uid {os.getuid()} may not read it")
    try:
        client_context(read_settings(str(made / "gateway.json")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrittenError(f"{WRITTEN} and the certificates it names: {error}") from None
    tried = subprocess.run(
        [NGINX, "-t", "-q", "-c", str(made / "nginx.conf")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        raise WrittenError(f"{WRITTEN}: nginx cannot use it: {' '.join(tried.stderr.split())}")
