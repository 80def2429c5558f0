# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Connections to consoles: name resolution, TCP or unix sockets, TLS."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError, hop
from ansible_collections.novnc.fleet.plugins.module_utils.notation import join
from ansible_collections.novnc.fleet.plugins.module_utils.stream import SocketStream

_QUEUE_PAUSE = 0.02
"""Seconds between tries to get into the queue of a unix socket."""


def connect_tcp(host: str, port: int, deadline: Deadline) -> SocketStream:
    """Connect to ``host`` (name or IP address without brackets) and ``port``.

    Raises:
        HopError: Hop ``resolve`` or ``connect``; of several addresses the last one's error.
    """
    peer = join(host, port)
    failure: HopError | None = None
    addresses = _resolve(host, port, deadline)
    for tried, (family, kind, protocol, _name, address) in enumerate(addresses):
        try:
            with hop("connect", f"connect to {peer}", deadline):
                # A share of the time each, lest a silent address starve those after it.
                share = deadline.remaining() / (len(addresses) - tried)
                sock = _connected(socket.socket(family, kind, protocol), address, share)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return SocketStream(sock, peer, deadline)
        except HopError as error:
            failure = error
    raise failure or HopError("resolve", f"host {host!r} has no addresses")


def connect_unix(path: str, deadline: Deadline) -> SocketStream:
    """Connect to the unix socket at ``path``. Raises `HopError` of hop ``connect``."""
    peer = f"unix:{path}"
    with hop("connect", f"connect to {peer}", deadline):
        while True:
            left = deadline.remaining()
            try:
                sock = _connected(socket.socket(socket.AF_UNIX), path, left)
                return SocketStream(sock, peer, deadline)
            except BlockingIOError:
                # The queue is full (QEMU's holds one), and unix sockets do not wait for a place.
                time.sleep(min(left, _QUEUE_PAUSE))


def _connected(sock: socket.socket, address: Any, timeout: float) -> socket.socket:
    """Return ``sock`` connected to ``address``; closed if that fails with OSError."""
    try:
        sock.settimeout(timeout)
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _resolve(host: str, port: int, deadline: Deadline) -> list[Any]:
    """Return the ``getaddrinfo`` entries of a host, within the deadline."""
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    # The system's resolver knows no deadline: a thread, left to itself when it takes too long.
    threading.Thread(target=look_up, daemon=True).start()
    with hop("resolve", f"resolve host {host!r}", deadline):
        try:
            answer = answers.get(timeout=deadline.remaining())
        except queue.Empty:
            raise socket.timeout from None
    if isinstance(answer, Exception):
        reason = getattr(answer, "strerror", None) or answer
        raise HopError(
            "resolve", f"cannot resolve host {host!r}: {reason}; check its spelling and the DNS"
        ) from answer
    return answer


def start_tls(
    stream: SocketStream,
    server_hostname: str,
    *,
    ca: str | None = None,
    verify: bool = True,
    identity: tuple[str, str] | None = None,
) -> None:
    """Speak TLS over ``stream`` from here on.

    Args:
        stream: A connected stream.
        server_hostname: Name (or IP address) for SNI, which the certificate must bear.
        ca: File of trusted certificates (PEM) instead of the system's.
        verify: False takes any certificate.
        identity: Files of a certificate of one's own and of its key (PEM), for servers that want
            one.

    Raises:
        HopError: Hop ``tls``, with the mend for an untrusted certificate and for a server
            without TLS.
    """
    context = _tls_context(ca, verify, identity)
    step = f"speak TLS with {stream.peer}"
    with hop("tls", step, stream.deadline):
        stream.sock.settimeout(stream.deadline.remaining())
        try:
            stream.sock = context.wrap_socket(stream.sock, server_hostname=server_hostname)
        except ssl.SSLError as error:
            raise HopError("tls", f"cannot {step}: {_explain_tls(error)}") from error


def _tls_context(ca: str | None, verify: bool, identity: tuple[str, str] | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise HopError("tls", f"cannot load the CA file {ca!r}: {error}") from error
    if identity:
        try:
            context.load_cert_chain(*identity)
        except OSError as error:
            message = f"cannot load the certificate {identity[0]!r} with its key: {error}"
            raise HopError("tls", message) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return (
            f"certificate not trusted: {reason}; give its CA with 'ca', use a name the certificate "
            "bears, or turn 'verify' off"
        )
    return f"{error.reason or error}; if it speaks no TLS, use ws:// instead of wss://"
