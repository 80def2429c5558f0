"""Endpoints that are none: what a gateway's directory asks of one, without VMs behind it.

They speak mutual TLS and HTTP as `roles/novnc_endpoint` does, and say whatever a test wants to
hear said: hundreds of hosts, VMs on the move, hosts that fall silent at a certain moment.
"""

from __future__ import annotations

import asyncio
import json
import queue
import ssl
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, Request

GATEWAY = "gw1"
"""Name of the gateway's certificate."""

T = TypeVar("T")


class Endpoint:
    """One host's endpoint.

    Attributes:
        vms: Its VMs, as entries of ``consoles.json``.
        sessions: Who looks at what, by the session's id.
        silent: Whether it hangs up instead of answering.
        hung: Whether libvirt hangs, so that it knows of its sessions only.
        asked: Ids that somebody wanted to be ended, one after the other, with who it was.
    """

    def __init__(self, host: str, address: str) -> None:
        self.host, self.address = host, address
        self.vms: list[dict[str, str]] = []
        self.sessions: dict[str, dict[str, Any]] = {}
        self.silent = self.hung = False
        self.asked: queue.Queue[tuple[str, str]] = queue.Queue()
        self.port = 0
        self._ended: list[dict[str, Any]] = []

    def begin(self, session: str, **facts: object) -> None:
        """Let a session begin."""
        self.sessions[session] = {"session": session, **facts}

    def end(self, session: str, reason: str) -> bool:
        """End one; return whether there was one."""
        found = self.sessions.pop(session, None)
        if found:
            measured = {"seconds": 1.5, "bytes_in": 7, "bytes_out": 1000}
            number = len(self._ended) + 1
            self._ended.append({**found, **measured, "number": number, "reason": reason})
        return found is not None

    def answer(self, method: str, target: str, user: str) -> tuple[int, object]:
        """Return status and body of an answer."""
        url = urlsplit(target)
        if method == "DELETE":
            session = url.path.rpartition("/")[2]
            was_there = self.end(session, f"ended by {user}")
            self.asked.put((session, user))
            return (204 if was_there else 404), None
        if url.path == "/sessions/ended":
            after = int(url.query.partition("=")[2])
            ended = {"last": len(self._ended), "boot": "b", "sessions": self._ended[after:]}
            return 200, ended
        if url.path == "/consoles.json" and self.hung:
            return 503, "libvirt does not answer"
        return 200, self.vms if url.path == "/consoles.json" else list(self.sessions.values())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on one connection until it is closed."""
        try:
            while not self.silent and (head := await reader.readuntil(b"\r\n\r\n")):
                first, *lines = head.decode().splitlines()
                headers = dict(line.split(": ", 1) for line in lines if line)
                method, target, _ = first.split()
                if self.silent:
                    break
                status, found = self.answer(method, target, headers.get("X-Console-User", ""))
                body = b"" if found is None else json.dumps(found).encode()
                length = f"Content-Length: {len(body)}\r\n" if body else ""
                writer.write(f"HTTP/1.1 {status} said\r\n{length}\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.transport.abort()


class Endpoints:
    """Some of them, each on an address or port of its own; a thread serves while the context lasts.

    Attributes:
        pki: Directory of the certificates: ``ca.crt``, ``gw1.crt``, ``gw1.key``.
    """

    def __init__(self, pki: Path, hosts: list[str], address: str = "") -> None:
        """Make them, all on one address where there is one."""
        self.pki = pki
        self.by_host = {
            host: Endpoint(host, address or f"127.0.{62 + number // 250}.{number % 250 + 1}")
            for number, host in enumerate(hosts)
        }
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __getitem__(self, host: str) -> Endpoint:
        return self.by_host[host]

    def __enter__(self) -> Self:
        servers = [
            Request(f"servers/{one.host}", "server", (one.host, one.address))
            for one in self.by_host.values()
        ]
        Authority(self.pki).issue([*servers, Request(GATEWAY, "client", (GATEWAY,))])
        self._thread.start()
        for one in self.by_host.values():
            self._run(self._listen(one))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def settings(self) -> dict[str, dict[str, object]]:
        """Return them as a gateway's settings name them."""
        return {
            one.host: {"address": one.address, "port": one.port, "name": one.host}
            for one in self.by_host.values()
        }

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self, one: Endpoint) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.pki / "ca.crt")
        name = self.pki / "servers" / one.host
        context.load_cert_chain(f"{name}.crt", f"{name}.key")
        server = await asyncio.start_server(one.serve, one.address, 0, ssl=context)
        one.port = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [one for one in asyncio.all_tasks() if one is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
