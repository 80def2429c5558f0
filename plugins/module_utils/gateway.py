# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""What is written for a gateway: names, rights, users, and the endpoints it reaches. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.notation import (
    join,
    parse_address,
    parse_target,
)
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import (
    SALT_BYTES,
    PasswordError,
    check_hash,
    hash_password,
)

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,62}\Z")
_USER_KEYS = {"password", "password_hash", "groups"}
_RULE_KEYS = {"match", "hosts", "control", "watch"}
_SUBJECT = re.compile(r"everyone\Z|(?:user|group):[A-Za-z0-9_][A-Za-z0-9._@-]{0,62}\Z")
_HTTPS = 443
_INLINE_SCRIPT = re.compile(
    r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE
)


def faults(written: Mapping[str, Any]) -> list[str]:
    """Return what cannot work, a sentence each; none of them tells a password.

    Args:
        written: The role's ``novnc_gateway_names``, ``addresses``, ``users``, ``rules`` and
            ``admins``, and what `endpoints` returns.
    """
    users = written["users"]
    known = {f"user:{name}" for name in users}
    found = [fault for name in written["names"] for fault in _name_faults(name)]
    if not written["names"]:
        found.append("novnc_gateway_names is empty; write the names that people come by")
    found += [
        f"{str(one)!r} in novnc_gateway_addresses is no IP address; write such as 192.0.2.1 or ::"
        for one in written["addresses"]
        if parse_address(str(one)) is None
    ]
    found += [fault for name, user in users.items() for fault in _user_faults(name, user)]
    for number, rule in enumerate(written["rules"], 1):
        found += _rule_faults(f"rule {number} of novnc_gateway_rules", rule, known)
    found += _subject_faults("novnc_gateway_admins", written["admins"], known)
    return found + [
        f"novnc_endpoint_address of {host} is {one['address']!r}; write the host's IP address"
        for host, one in written["endpoints"].items()
        if parse_address(str(one["address"])) is None
    ]


def _name_faults(name: Any) -> list[str]:
    text = str(name)
    try:
        parse_target(text if re.search(r":[0-9]+\Z", text) else f"{text}:{_HTTPS}")
    except ValueError:
        mend = "write a name or an IP address, '[v6]' or with ':port' where that is not 443"
        return [f"{text!r} in novnc_gateway_names is no public name; {mend}"]
    return []


def _user_faults(name: Any, user: Any) -> list[str]:
    where = f"{name!r} in novnc_gateway_users"
    if not (isinstance(name, str) and _USER.match(name)):
        return [f"{where} is no user's name; it may have letters, digits and . _ @ -, 63 at most"]
    if not isinstance(user, Mapping):
        return [f"{where} must be a mapping with password_hash (or password) and groups"]
    found = [
        f"{where} has the unknown key {key!r}; it may have {', '.join(sorted(_USER_KEYS))}"
        for key in sorted(set(map(str, user)) - _USER_KEYS)
    ]
    if ("password" in user) == ("password_hash" in user):
        found.append(f"{where} needs password_hash, or password from a vault, and not both")
    elif "password" in user and not (isinstance(user["password"], str) and user["password"]):
        found.append(f"{where} has a password that is no text, or empty; write it in quotes")
    elif "password_hash" in user:
        try:
            check_hash(str(user["password_hash"]))
        except PasswordError as error:
            found.append(f"{where}: {error}")
    groups = user.get("groups", [])
    if isinstance(groups, (str, Mapping)) or not isinstance(groups, Iterable):
        return [*found, f"{where}: groups must be a list"]
    return found + [
        f"{where} is in the group {group!r}, which is no group's name"
        for group in groups
        if not (isinstance(group, str) and _USER.match(group))
    ]


def _rule_faults(where: str, rule: Any, known: set[str]) -> list[str]:
    if not isinstance(rule, Mapping):
        return [f"{where} must be a mapping with match, hosts, control and watch"]
    found = [
        f"{where} has the unknown key {key!r}; it may have {', '.join(sorted(_RULE_KEYS))}"
        for key in sorted(set(map(str, rule)) - _RULE_KEYS)
    ]
    found += [
        f"{where}: {key} is {rule[key]!r}; write a shell pattern in quotes"
        for key in ("match", "hosts")
        if not isinstance(rule.get(key, "*"), str)
    ]
    for key in ("control", "watch"):
        found += _subject_faults(f"{where}: {key}", rule.get(key, []), known)
    return found


def _subject_faults(where: str, subjects: Any, known: set[str]) -> list[str]:
    if isinstance(subjects, (str, Mapping)) or not isinstance(subjects, Iterable):
        return [f"{where} is {subjects!r}; write a list of everyone, user:name, group:name"]
    found = []
    for subject in subjects:
        if not (isinstance(subject, str) and _SUBJECT.match(subject)):
            found.append(f"{where} has {subject!r}; write everyone, user:name or group:name")
        elif subject.startswith("user:") and subject not in known:
            found.append(f"{where} has {subject!r}, who is not in novnc_gateway_users")
    return found


def accounts(users: Mapping[str, Mapping[str, Any]], secret: str) -> dict[str, dict[str, Any]]:
    """Return users as the directory reads them, with hashes only.

    Args:
        users: As in ``novnc_gateway_users``, without faults.
        secret: Of the controller's: from it come the salts of passwords that are written plain, so
            that the same password has the same hash in the next run.
    """
    return {
        name: {
            "password_hash": user.get("password_hash") or _hashed(name, user["password"], secret),
            "groups": list(user.get("groups", [])),
        }
        for name, user in users.items()
    }


def _hashed(name: str, password: str, secret: str) -> str:
    text = f"{name}\0{password}".encode("utf-8", "surrogatepass")
    salt = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return hash_password(password, salt[:SALT_BYTES])


def endpoints(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return where the endpoints of hypervisors are, by what the inventory says of them.

    The defaults are those of the role `novnc.fleet.novnc_endpoint`.

    Args:
        hosts: Names of hypervisors in the inventory.
        hostvars: Variables of hosts by their name.

    Returns:
        By the host's name: ``address`` (IP address), ``port``, ``listen`` (both, as in a URL), and
        ``name``, which its certificate bears.
    """
    found = {}
    for host in hosts:
        said = hostvars[host]
        if not _truth(said.get("novnc_endpoint_enabled", True)):
            continue
        address = said.get("novnc_endpoint_address") or said.get("ansible_host") or host
        port = int(said.get("novnc_endpoint_port", 16900))
        found[host] = {
            "address": str(address),
            "port": port,
            "listen": join(str(address), port),
            "name": str(said.get("novnc_endpoint_certificate_name") or host),
        }
    return found


def _truth(value: Any) -> bool:
    """Return what an inventory means, where ``-e`` makes text of everything."""
    return str(value).lower() in ("true", "yes", "on", "1", "y", "t")


def script_hashes(page: str) -> list[str]:
    """Return the hashes of a page's inline scripts as a Content-Security-Policy names them."""
    return [
        f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
        for script in _INLINE_SCRIPT.findall(page.replace("\r\n", "\n"))
    ]
