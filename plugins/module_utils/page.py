# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The page that a console's browser loads before it opens the WebSocket."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from ansible_collections.novnc.fleet.plugins.module_utils.connect import connect_tcp, start_tls
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError, hop


def fetch_page(url: str, deadline: Deadline, *, ca: str | None = None, verify: bool = True) -> None:
    """Load a page and see that it is served.

    Args:
        url: ``http://`` or ``https://``, without a fragment.
        deadline: For all of it.
        ca: File of trusted certificates (PEM) for https instead of the system's.
        verify: False takes any certificate for https.

    Raises:
        HopError: of the hops ``resolve``, ``connect`` and ``tls`` as for the WebSocket, or
            of ``page`` if the answer is not 200.
    """
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HopError("resolve", f"'{url}' is no address of a page; write http://… or https://…")
    port = parts.port or (443 if tls else 80)
    with connect_tcp(parts.hostname, port, deadline) as transport:
        if tls:
            start_tls(transport, parts.hostname, ca=ca, verify=verify)
        transport.sock.settimeout(deadline.remaining())
        with hop("page", f"load {url}", deadline):
            connection = http.client.HTTPConnection(parts.hostname, port)
            connection.sock = transport.sock
            try:
                connection.request("GET", parts.path or "/", headers={"Connection": "close"})
                status = connection.getresponse().status
            except http.client.HTTPException as error:
                raise HopError("page", f"{url} answers with no HTTP: {error!r}") from error
    if status != 200:
        message = f"{url} answers {status} instead of 200; is noVNC installed there?"
        raise HopError("page", message, http_status=status)
