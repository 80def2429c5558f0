# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Start the distribution's websockify as the console of one VM.

The proxying is websockify's own; this file only closes what its command line
leaves open (0.10 to 0.13 behave alike through it):

* numpy is kept from being imported: it doubles the first visitor's wait and
  helps nothing but client-to-server bulk data;
* children are forked on every Python (3.14 would make a fork server, which is
  30 times slower and loses the log);
* a missing certificate turns visitors away instead of serving them plain text;
* a page of a foreign origin gets 403 instead of somebody's screen, while a
  client that sends no Origin at all (no browser) is served;
* no directory is listed, and browsers ask again before they reuse a file, so
  that no page mixes two versions of noVNC;
* a silent client is let go: before its request after ``REQUEST_TIMEOUT``, and
  with data unacknowledged, where TCP keepalive is off, after ``STALL_TIMEOUT``.

Everything comes from the environment, so that no address or path stands in
the process list: ``NOVNC_CONSOLE_TARGET`` (``host:port``, ``[v6]:port`` or
``unix:/path``), ``_ORIGINS`` (separated by blanks), ``_TLS`` (``yes`` or
``no``; ``tls.crt`` and ``tls.key`` are credentials of the unit), ``_WEB_ROOT``,
``_LIBRARY`` (where the package ``websockify`` lies) and ``_IDLE_TIMEOUT``
(seconds). The listening socket is standard input.
"""

import os
import sys

# -I -S keep start-up short and the environment out of the import path; the one
# directory that is needed is named by the unit.
sys.path.append(os.environ["NOVNC_CONSOLE_LIBRARY"])
sys.modules["numpy"] = None  # type: ignore[assignment]

import warnings  # noqa: E402

warnings.simplefilter("ignore")

import contextlib  # noqa: E402
import logging  # noqa: E402
import multiprocessing  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402

from websockify.auth_plugins import InvalidOriginError  # noqa: E402
from websockify.websocketproxy import ProxyRequestHandler, WebSocketProxy  # noqa: E402

REQUEST_TIMEOUT = 15
"""Seconds that a client may take for its TLS handshake and for each request."""

STALL_TIMEOUT = 30
"""Seconds after which a connection with unacknowledged data is dead."""


class AllowedOrigins:
    """websockify authentication plugin: the fixed list of origins of a console."""

    def __init__(self, origins):
        self.origins = frozenset(origins)

    def authenticate(self, headers, target_host, target_port):
        """Raise InvalidOriginError (answered 403) if any Origin sent is not on the list."""
        for origin in headers.get_all("Origin", []):
            if origin not in self.origins:
                raise InvalidOriginError(expected=sorted(self.origins), actual=origin)


class ConsoleHandler(ProxyRequestHandler):
    """One connection: noVNC's files, or the way to the VM."""

    timeout = REQUEST_TIMEOUT

    def handle_upgrade(self):
        """Pass the connection on to websockify, which wants a socket without a timeout."""
        self.connection.settimeout(None)
        super().handle_upgrade()

    def auth_connection(self):
        """Close after a refusal: websockify's answer has no length, so the client would wait."""
        self.close_connection = True
        super().auth_connection()

    def list_directory(self, path):
        """Answer 404 where the standard library would list the files."""
        self.send_error(404)

    def end_headers(self):
        """Make browsers revalidate; it costs a 304 and spares mixed versions."""
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


class ConsoleProxy(WebSocketProxy):
    """websockify on the socket that systemd holds."""

    def do_handshake(self, sock, address):
        """Bound what a client may leave hanging, then go on as websockify does."""
        sock.settimeout(REQUEST_TIMEOUT)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL_TIMEOUT * 1000)
        return super().do_handshake(sock, address)


def target_options(target):
    """Return websockify's options for a target in the inventory's notation."""
    if target.startswith("unix:"):
        return {"unix_target": target[len("unix:") :]}
    host, _, port = target.rpartition(":")
    return {"target_host": host.strip("[]"), "target_port": int(port)}


def tls_options(environ):
    """Return websockify's options for TLS; raise OSError or ssl.SSLError if it cannot work."""
    if environ["NOVNC_CONSOLE_TLS"] != "yes":
        # websockify serves TLS as soon as the file is there, so name one that never is.
        return {"cert": "/dev/null/none"}
    directory = environ["CREDENTIALS_DIRECTORY"]
    cert, key = os.path.join(directory, "tls.crt"), os.path.join(directory, "tls.key")
    # websockify loads them at each connection, and serves plain text if the file is missing.
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    old = ssl.OP_NO_SSLv2 | ssl.OP_NO_SSLv3 | ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1
    return {
        "cert": cert,
        "key": key,
        "ssl_only": True,
        "ssl_options": ssl.OP_ALL | ssl.OP_NO_RENEGOTIATION | old,
    }


def make_proxy(environ):
    """Return the proxy that the environment describes; raise if it cannot work."""
    return ConsoleProxy(
        RequestHandlerClass=ConsoleHandler,
        listen_fd=sys.stdin.fileno(),
        web=environ["NOVNC_CONSOLE_WEB_ROOT"],
        auth_plugin=AllowedOrigins(environ["NOVNC_CONSOLE_ORIGINS"].split()),
        idle_timeout=int(environ["NOVNC_CONSOLE_IDLE_TIMEOUT"]),
        **target_options(environ["NOVNC_CONSOLE_TARGET"]),
        **tls_options(environ),
    )


def turn_away(listener):
    """Close what waits at the door.

    A visitor who is left waiting would have systemd start the service again
    and again, dozens of times a second.
    """
    listener.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()


def main(environ):
    """Serve until nobody has been connected for the idle time."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    multiprocessing.set_start_method("fork")
    try:
        proxy = make_proxy(environ)
    except Exception as error:
        turn_away(socket.socket(fileno=os.dup(sys.stdin.fileno())))
        sys.exit(f"this console cannot work: {type(error).__name__}: {error}")
    proxy.start_server()


if __name__ == "__main__":
    main(os.environ)
