# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Who has come and not asked for anything yet: accepted, shaking hands by TLS, still silent."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

_HANDSHAKE_TIMEOUT = 10.0
_REQUEST_TIMEOUT = 10.0
"""Seconds for a first request, from the end of TLS's handshake to the end of its headers."""
_BATCH = 64
"""Connections that are accepted before others have their turn."""
_RETRY = 1.0
"""Seconds until the next try where descriptors or memory have run out."""


class Arrivals:
    """Takes in who comes to a listener, and is responsible for them until their first request.

    Attributes:
        context: TLS as it is spoken with whoever comes from now on.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        context: ssl.SSLContext,
    ) -> None:
        """Prepare, and take in nobody yet; ``protocol`` makes what serves one connection."""
        self.context = context
        self._listener = listener
        self._protocol = protocol
        self._asked: dict[asyncio.BaseProtocol, asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Take in whoever comes."""
        if self._listener.fileno() >= 0:
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def asked(self, protocol: asyncio.BaseProtocol) -> None:
        """Know that a request has come; from the first on, others are responsible."""
        future = self._asked.get(protocol)
        if future and not future.done():
            future.set_result(None)

    async def close(self, patience: float) -> None:
        """Take in nobody any more; who has come has so many seconds to ask, and is sent away."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_BATCH):
            try:
                sock, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # It would be told again at once, without end.
                loop.remove_reader(self._listener)
                loop.call_later(_RETRY, self.open)
                raise
            sock.setblocking(False)
            task = loop.create_task(self._welcome(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _welcome(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        protocol = self._protocol()
        # It may ask before this goes on.
        asked = self._asked[protocol] = loop.create_future()
        transport = None
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                sock,
                ssl=self.context,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT,
            )
            await asyncio.wait([asked], timeout=_REQUEST_TIMEOUT)
        except OSError:  # no TLS that we speak, or a certificate that we do not believe
            return
        finally:
            del self._asked[protocol]
            if transport and not asked.done():
                transport.abort()
