#!/usr/bin/python
# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""See on a gateway's own host that it is well."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gateway_health
short_description: See on a gateway's own host that it is well
version_added: 0.1.0
description:
  - Asks nginx for C(/healthz) by the gateway's public name, as a visitor would, and sees that the
    answer is the directory's and the certificate the gateway's. Another site of the same nginx may
    have taken its name or its port.
  - Waits, as a reload takes a moment. Changes nothing.
options:
  name:
    description: The public name, with a port where that is not 443.
    type: str
    required: true
  address:
    description: An IP address on which it listens; a wildcard is asked on loopback.
    type: str
    default: 127.0.0.1
  port:
    description: The port on which it listens.
    type: int
    default: 443
  certificate:
    description: File with the certificate that it has to show, the first in the file.
    type: path
    required: true
  timeout:
    description: Seconds that it may take.
    type: int
    default: 20
attributes:
  check_mode:
    support: full
    description: Changes nothing in either mode.
  diff_mode:
    support: none
    description: There is no difference to show.
author:
  - novnc-fleet contributors
"""

EXAMPLES = r"""
- name: See that the gateway is well
  novnc.fleet.gateway_health:
    name: consoles.example.com
    certificate: /etc/novnc-fleet/gateway/tls.crt
"""

RETURN = r"""
url:
  description: What was asked for.
  type: str
  returned: success
  sample: https://consoles.example.com/healthz
"""

import http.client
import ssl
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.novnc.fleet.plugins.module_utils.connect import connect_tcp, start_tls
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError, hop
from ansible_collections.novnc.fleet.plugins.module_utils.notation import join

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing is bound here)
WELL = "ok\n"
_PAUSE = 0.2
"""Seconds between two questions."""
_END = "-----END CERTIFICATE-----"


def certificate_of(path: str) -> bytes:
    """Return the first certificate of a file. Raises OSError or ValueError."""
    text = Path(path).read_text(encoding="ascii")
    start, end = text.find("-----BEGIN CERTIFICATE-----"), text.find(_END)
    if not 0 <= start < end:
        raise ValueError(f"{path} has no certificate (PEM) in it")
    return ssl.PEM_cert_to_DER_cert(text[start : end + len(_END)])


def ask(name: str, address: str, port: int, deadline: Deadline) -> tuple[bytes, int, str]:
    """Return the certificate that is shown for a name, and status and text of ``/healthz``.

    Raises:
        HopError: It does not answer.
    """
    host = urlsplit(f"//{name}").hostname or name
    with connect_tcp(address, port, deadline) as transport:
        # Whose certificate it is, is for us to compare; a browser's authorities may not be here.
        start_tls(transport, host, verify=False)
        shown = cast(ssl.SSLSocket, transport.sock).getpeercert(binary_form=True) or b""
        connection = http.client.HTTPConnection(host, port)
        connection.sock = transport.sock
        with hop("page", "load /healthz", deadline):
            try:
                transport.sock.settimeout(deadline.remaining())
                connection.request("GET", "/healthz", headers={"Host": name, "Connection": "close"})
                answer = connection.getresponse()
                return shown, answer.status, answer.read(4096).decode("utf-8", "replace")
            except http.client.HTTPException as error:
                raise HopError("page", f"it answers with no HTTP: {error!r}") from error


def fault(shown: bytes, status: int, text: str, *, expected: bytes, path: str) -> str:
    """Return what is wrong with an answer, and the mend; empty if it is well.

    Args:
        shown: The certificate that came.
        status: Of HTTP.
        text: What came.
        expected: The certificate that should have come.
        path: Its file.
    """
    if shown != expected:
        return (
            f"shows another certificate than that in {path}: another site of nginx comes first for"
            " this name or port; 'nginx -T' shows all of them"
        )
    if status == http.client.SERVICE_UNAVAILABLE:
        return "answers 503: novnc-directory is away; 'journalctl -u novnc-directory' says why"
    if (status, text) != (http.client.OK, WELL):
        return (
            f"answers {status} {text[:60]!r}: another site of nginx has this name;"
            " 'nginx -T' shows all of them"
        )
    return ""


def wait(name: str, address: str, port: int, *, path: str, seconds: float) -> str:
    """Wait until a gateway is well; return what is wrong with it, empty if nothing is.

    Raises OSError or ValueError: its certificate cannot be read.
    """
    expected, deadline, found = certificate_of(path), Deadline(seconds), ""
    while True:
        try:
            found = fault(*ask(name, address, port, deadline), expected=expected, path=path)
        except HopError as error:
            if found and error.errno_name == "ETIMEDOUT":
                return found  # what it said while there was time tells more
            found = f"does not answer: {error}; 'journalctl -u nginx' says why"
        if not found or deadline.elapsed_ms() > 1000 * seconds - 1000 * _PAUSE:
            return found
        time.sleep(_PAUSE)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 443},
            "certificate": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    name, port = module.params["name"], module.params["port"]
    address = LOOPBACK.get(module.params["address"], module.params["address"])
    try:
        found = wait(
            name,
            address,
            port,
            path=module.params["certificate"],
            seconds=module.params["timeout"],
        )
    except (OSError, ValueError) as error:
        found = f"cannot be told from others: {error}"
    url = f"https://{name}/healthz"
    if found:
        module.fail_json(msg=f"{url}, asked at {join(address, port)}, {found}")
    module.exit_json(changed=False, url=url)


if __name__ == "__main__":
    main()
