"""Visitors of the gateway, with and without manners."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import quote, urlencode

from ansible_collections.novnc.fleet.plugins.module_utils.console import open_console
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError, StreamClosedError
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream

from tests.harness.fleet import variables
from tests.harness.project import CACHE

(_visited,) = variables("visited").values()
ADDRESS: str = _visited["ansible_host"]
ORIGIN = f"https://{ADDRESS}"
CA = str(CACHE / "gateway-pki" / "ca.crt")
COOKIE = "novnc_fleet_session"
HANDSHAKE = {
    "Host": ADDRESS,
    "Origin": ORIGIN,
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
"""What a browser sends for a WebSocket (RFC 6455, section 1.3), but for the cookie."""
TIMEOUT = 60.0
"""Seconds after which a test is stuck."""


@dataclass(frozen=True)
class Answer:
    """What the gateway answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def context() -> ssl.SSLContext:
    """Return what a browser that knows the authority has."""
    return ssl.create_default_context(cafile=CA)


def ask(
    path: str,
    method: str = "GET",
    *,
    cookie: str = "",
    body: str | None = None,
    headers: Mapping[str, str | None] | None = None,
    source: str = "",
) -> Answer:
    """Return what a request comes to, sent as it stands.

    Args:
        path: As in the request line, raw.
        method: Of HTTP.
        cookie: A log-in.
        body: What is posted.
        headers: More of them; ``Host`` and ``Origin`` take the place of the right ones, and one
            that is None is left out.
        source: Address to come from.
    """
    line = http.client.HTTPSConnection(
        ADDRESS,
        context=context(),
        timeout=TIMEOUT,
        source_address=(source, 0) if source else None,
    )
    sent: dict[str, str | None] = {"Host": ADDRESS, "Origin": ORIGIN if method == "POST" else None}
    sent |= {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
    sent |= dict(headers or {})
    data = (body or "").encode()
    if body is not None:
        sent = {"Content-Type": "application/x-www-form-urlencoded", **sent}
        sent |= {"Content-Length": str(len(data))}
    # By hand: http.client would mend paths and refuse some.
    line.connect()
    head = "".join(f"{key}: {value}\r\n" for key, value in sent.items() if value is not None)
    line.sock.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
    answer = http.client.HTTPResponse(line.sock, method=method)
    answer.begin()
    found = Answer(answer.status, answer.headers, answer.read())
    line.close()
    return found


def upgrade(path: str, cookie: str) -> Answer:
    """Return what a request for a WebSocket comes to, sent as it stands; one that opens is left."""
    return ask(path, cookie=cookie, headers=HANDSHAKE)


def log_in(name: str, password: str = "", *, source: str = "") -> Answer:
    """Return what the log-in form comes to; by default with the right password."""
    form = urlencode({"username": name, "password": password or f"{name}'s password"})
    return ask("/login", "POST", body=form, source=source)


def cookie_of(answer: Answer) -> str:
    """Return the log-in that an answer gives; empty without one."""
    name, _, rest = str(answer.headers.get("Set-Cookie", "")).partition("=")
    return rest.partition(";")[0] if name == COOKIE else ""


def consoles(cookie: str) -> list[dict[str, Any]]:
    """Return what a log-in may open."""
    found: list[dict[str, Any]] = ask("/consoles.json", cookie=cookie).json
    return found


def shown(cookie: str) -> dict[str, dict[str, Any]]:
    """Return what a log-in may open by the VMs' names, each of which must be there once."""
    listed = consoles(cookie)
    found = {one["vm"]: one for one in listed}
    assert len(found) == len(listed), f"a VM is listed twice: {listed}"
    return found


def open_vm(
    vm: str,
    cookie: str,
    *,
    origin: str | None = ORIGIN,
    path: str = "",
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> ByteStream:
    """Open a console as a page of the gateway does. Raises HopError.

    Args:
        vm: Name or uuid.
        cookie: A log-in.
        origin: The page's; None sends none.
        path: Instead of ``/vm/<vm>/websockify``.
        headers: More of them.
        timeout: Seconds for all of it.
    """
    return open_console(
        f"wss://{ADDRESS}{path or f'/vm/{quote(vm)}/websockify'}",
        ca=CA,
        origin=origin,
        headers={**({"Cookie": f"{COOKIE}={cookie}"} if cookie else {}), **(headers or {})},
        timeout=timeout,
    )


def name_shown(vm: str, cookie: str, **more: Any) -> str:
    """Return the desktop name of the VM that a console shows. Raises HopError."""
    with open_vm(vm, cookie, **more) as stream:
        return RfbClient(stream).handshake().name or ""


def refused(vm: str, cookie: str, **more: Any) -> int | None:
    """Return the status by which a console is refused; None where the connection just ends.

    Raises AssertionError: it was opened.
    """
    try:
        name = name_shown(vm, cookie, **more)
    except HopError as error:
        return error.http_status
    raise AssertionError(f"{vm} was opened, and shows {name}")


def last_words(stream: ByteStream) -> str:
    """Read until the other side closes, and return how."""
    try:
        while True:
            stream.receive()
    except StreamClosedError as closed:
        return str(closed)
