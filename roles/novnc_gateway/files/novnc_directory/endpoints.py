# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""One endpoint, asked over mutual TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from asyncio import sslproto
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from novnc_directory.settings import Address, Settings
from novnc_directory.vms import Vm, read_vms

# asyncio lends each connection of TLS a room of 256 KiB for as long as it lasts.
if hasattr(sslproto.SSLProtocol, "max_size"):
    sslproto.SSLProtocol.max_size = 32 * 1024

_TIMEOUT = aiohttp.ClientTimeout(total=12.0, sock_connect=3.0)
"""Seconds; an endpoint itself waits 10 s for libvirt."""
_LONGEST_ANSWER = 16 * 1024 * 1024


class SilentError(Exception):
    """An endpoint gives no answer that can be used; the message says why."""


@dataclass(frozen=True)
class Look:
    """What an endpoint tells.

    Attributes:
        vms: The host's VMs.
        fault: Why it tells of none; empty where it does.
        sessions: Its sessions, those of other gateways too.
        ended: Sessions that have ended since the last look.
    """

    vms: tuple[Vm, ...]
    fault: str
    sessions: list[dict[str, Any]]
    ended: list[dict[str, Any]]


class Endpoint:
    """One hypervisor's endpoint."""

    def __init__(self, host: str, address: Address, context: ssl.SSLContext) -> None:
        self.host, self.address, self.context = host, address, context
        name = f"[{address.name}]" if ":" in address.name else address.name
        self._url = f"https://{name}:{address.port}"
        # The name is the certificate's; where to connect to is known.
        connector = aiohttp.TCPConnector(ssl=context, limit=4, resolver=_Resolver(address.address))
        self._http = aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
        )
        self._ended = ("", 0)

    async def close(self) -> None:
        """Close its connections."""
        await self._http.close()

    async def look(self) -> Look:
        """Return what it tells now. Raises SilentError."""
        try:
            vms, fault = await self._get_vms()
            sessions = await self._get("/sessions")
            # After those that are open: what is in neither list has never begun.
            ended = await self._get_ended()
        except (OSError, ValueError, TypeError, aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise SilentError(str(error) or "it does not answer in time") from error
        if not _are_sessions(sessions) or not _are_sessions(ended):
            raise SilentError("its sessions are no list of objects with an id")
        return Look(vms, fault, sessions, ended)

    async def _get_vms(self) -> tuple[tuple[Vm, ...], str]:
        """Return its VMs, or why it tells of none; of sessions it knows even where libvirt hangs.

        Raises OSError, aiohttp.ClientError, asyncio.TimeoutError: it does not answer at all.
        """
        try:
            return read_vms(self.host, await self._get("/consoles.json")), ""
        except ValueError as error:
            return (), str(error)

    async def _get_ended(self) -> list[dict[str, Any]]:
        boot, after = self._ended
        found = await self._get_object(f"/sessions/ended?after={after}")
        if found.get("boot") != boot and after:
            found = await self._get_object("/sessions/ended?after=0")
        self._ended = (str(found.get("boot")), int(found.get("last", 0)))
        return list(found.get("sessions", ()))

    async def _get_object(self, path: str) -> dict[str, Any]:
        found = await self._get(path)
        if not isinstance(found, dict):
            raise ValueError(f"{path} is no object")
        return found

    async def end(self, session: str, reason: str) -> bool:
        """End a session; return whether there was one. Raises SilentError."""
        try:
            # The endpoint tells this to the visitor.
            headers = {"X-Console-User": reason}
            async with self._http.delete(
                f"{self._url}/sessions/{session}", headers=headers, allow_redirects=False
            ) as answer:
                if answer.status not in (204, 404):
                    raise SilentError(f"it answers {answer.status}")
                return bool(answer.status == 204)
        # RuntimeError: new settings have closed its connections.
        except (OSError, RuntimeError, aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise SilentError(str(error)) from error

    async def _get(self, path: str) -> Any:
        async with self._http.get(self._url + path, allow_redirects=False) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > _LONGEST_ANSWER:
                    raise ValueError(f"its answer is longer than {_LONGEST_ANSWER >> 20} MiB")
            if answer.status != 200:
                said = bytes(body[:200]).decode(errors="replace").strip()
                raise ValueError(f"it answers {answer.status}: {said}")
            return json.loads(body)


class _Resolver(AbstractResolver):  # type: ignore[misc]
    """Knows one address, for every name."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        """Return the address as aiohttp wants it."""
        return [
            {
                "hostname": host,
                "host": self._address,
                "port": port,
                "family": socket.AF_INET6 if ":" in self._address else socket.AF_INET,
                "proto": 0,
                "flags": socket.AI_NUMERICHOST,
            }
        ]

    async def close(self) -> None:
        """Do nothing."""


def _are_sessions(data: Any) -> bool:
    return isinstance(data, list) and all(
        isinstance(one, dict) and isinstance(one.get("session"), str) for one in data
    )


def client_context(settings: Settings) -> ssl.SSLContext:
    """Return what proves who we are, and believes endpoints of the authority only.

    Raises OSError (ssl.SSLError is one).
    """
    context = ssl.create_default_context(cafile=settings.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(settings.cert, settings.key)
    return context
