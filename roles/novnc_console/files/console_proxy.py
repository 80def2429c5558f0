# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Start websockify as the console of one VM.

The proxying is websockify's own; this file only closes what its command line
leaves open (0.10 to 0.13 behave alike through it):

* the first visitor waits for as little as possible: numpy, which doubles the
  wait and helps nothing but client-to-server bulk data, is kept from being
  imported, and what a console seldom or never uses is imported when it is used;
* children are forked on every Python (3.14 would make a fork server, which is
  30 times slower and loses the log);
* a missing certificate turns visitors away instead of serving them plain text;
* a page of a foreign origin gets 403 instead of somebody's screen, while a
  client that sends no Origin at all (no browser) is served;
* no directory is listed, and browsers ask again before they reuse a file, so
  that no page mixes two versions of noVNC;
* a silent or dripping client is let go: before its request is there after
  ``REQUEST_TIMEOUT``, and with data unacknowledged, where TCP keepalive is off,
  after ``STALL_TIMEOUT``.

Everything comes from the environment, so that no address or path stands in
the process list: ``NOVNC_CONSOLE_TARGET`` (``host:port``, ``[v6]:port`` or
``unix:/path``), ``_ORIGINS`` (separated by blanks; ``self`` is the console's own
page, by an IP address or as localhost), ``_TLS`` (``yes`` or ``no``), ``_TLS_CERT``
and ``_TLS_KEY`` (files; without them, credentials of the unit), ``_WEB_ROOT``
(noVNC; where that is a link to one version, this one is served to the end),
``_SETTINGS`` (a directory with noVNC's settings, which it has before the web
root's), ``_LIBRARY`` (where the package ``websockify`` lies) and
``_IDLE_TIMEOUT`` (seconds; 0 is never). The listening socket is standard input.
"""

import gc

# Nothing that the start allocates is garbage; see main().
gc.disable()

import os  # noqa: E402
import sys  # noqa: E402
import types  # noqa: E402
import warnings  # noqa: E402

# -I -S keep start-up short and the environment out of the import path; the one
# directory that is needed is named by the unit.
sys.path.append(os.path.realpath(os.environ["NOVNC_CONSOLE_LIBRARY"]))
warnings.simplefilter("ignore")

NEVER = ("bz2", "lzma", "numpy")
"""Optional parts of what websockify imports; a console uses none of them."""

SELDOM = ("html", "ipaddress", "mimetypes", "multiprocessing.reduction", "optparse", "shutil")
SELDOM += ("subprocess", "textwrap", "tokenize")
"""Parts of what websockify imports that a console uses for a page, or never."""


class WhenUsed(types.ModuleType):
    """A module that is imported when something of it is asked for.

    Spares the first visitor 10 ms of 50; importlib's LazyLoader, which is the
    same for any loader, would cost as much as it saves.
    """

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        del sys.modules[self.__name__]
        __import__(self.__name__)
        self.__dict__.update(sys.modules[self.__name__].__dict__)
        return getattr(self, name)


sys.modules.update(dict.fromkeys(NEVER))
sys.modules.update((name, WhenUsed(name)) for name in SELDOM)

import contextlib  # noqa: E402

# Here, once, and not in each visitor's process: resolving any host wants it.
import encodings.idna  # noqa: E402, F401
import logging  # noqa: E402
import multiprocessing  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402

try:
    from websockify.auth_plugins import InvalidOriginError
    from websockify.websocketproxy import ProxyRequestHandler, WebSocketProxy
except ImportError as error:
    # Told by main(), once the visitor has been turned away.
    missing, InvalidOriginError, ProxyRequestHandler, WebSocketProxy = (
        error,
        Exception,
        object,
        object,
    )
else:
    missing = None

REQUEST_TIMEOUT = 15
"""Seconds in which a client must have sent its request, TLS handshake included."""

SETTINGS = ("/defaults.json", "/mandatory.json")
"""What noVNC from 1.6 on reads as its settings."""

RESPONSE_TIMEOUT = 60
"""Seconds in which it must have taken a file."""

STALL_TIMEOUT = 30
"""Seconds after which a connection with unacknowledged data is dead."""


OWN_PAGE = "self"
"""Stands for the console's own page where nobody knows the addresses it is reached by."""


class AllowedOrigins:
    """websockify authentication plugin: the fixed list of origins of a console."""

    def __init__(self, origins, scheme):
        self.origins = frozenset(origins) - {OWN_PAGE}
        self.own_page = OWN_PAGE in origins
        self.scheme = scheme

    def authenticate(self, headers, target_host, target_port):
        """Raise InvalidOriginError (answered 403) if any Origin sent is not on the list."""
        for origin in headers.get_all("Origin", []):
            if origin not in self.origins and not (self.own_page and self.is_own(origin, headers)):
                raise InvalidOriginError(expected=sorted(self.origins), actual=origin)

    def is_own(self, origin, headers):
        """Tell whether an Origin is the address that the visitor has come by.

        Not by a name: whoever owns one may have it lead here, and their page would be our own.
        """
        hosts = headers.get_all("Host", [])
        if len(hosts) != 1 or origin != f"{self.scheme}://{hosts[0]}":
            return False
        name = hosts[0].rpartition("]")[0] + "]" if "]" in hosts[0] else hosts[0].partition(":")[0]
        if name == "localhost":
            return True
        family = socket.AF_INET6 if name.startswith("[") else socket.AF_INET
        try:
            socket.inet_pton(family, name.strip("[]"))
        except OSError:
            return False
        return True


class ConsoleHandler(ProxyRequestHandler):
    """One connection: noVNC's files, or the way to the VM."""

    def handle_one_request(self):
        """Give each request of a connection its time."""
        signal.alarm(REQUEST_TIMEOUT)
        super().handle_one_request()

    def send_head(self):
        """Give each file its time, and answer 304 for the very same file only.

        By itself an older one would do as well, and after the way back to an older version
        browsers would mix the two.
        """
        signal.alarm(RESPONSE_TIMEOUT)
        with contextlib.suppress(OSError):
            modified = int(os.stat(self.translate_path(self.path)).st_mtime)
            if self.headers.get("If-Modified-Since") != self.date_time_string(modified):
                del self.headers["If-Modified-Since"]
        return super().send_head()

    def translate_path(self, path):
        """Return the file of a request's path: a setting's comes from the settings, if there."""
        name = path.partition("?")[0]
        if name in SETTINGS and os.path.isfile(self.server.settings + name):
            return self.server.settings + name
        return super().translate_path(path)

    def handle_websocket(self):
        """Let a session take as long as it takes."""
        signal.alarm(0)
        super().handle_websocket()

    def auth_connection(self):
        """Close after a refusal: websockify's answer has no length, so the client would wait."""
        self.close_connection = True
        super().auth_connection()

    def list_directory(self, path):
        """Answer 404 where the standard library would list the files."""
        self.send_error(404)

    def end_headers(self):
        """Make browsers revalidate (a 304 spares mixed versions); keep out of foreign frames."""
        self.send_header("Cache-Control", "no-cache")
        # A page in a frame has the console's own origin, and a click on it may be stolen.
        ancestors = " ".join(["'self'", *sorted(self.server.auth_plugin.origins)])
        self.send_header("Content-Security-Policy", f"frame-ancestors {ancestors}")
        super().end_headers()


class ConsoleProxy(WebSocketProxy):
    """websockify on the socket that systemd holds, or whoever else has started it."""

    def __init__(self, *args, settings, **kwargs):
        self.settings = settings
        super().__init__(*args, **kwargs)
        # Visitors of a unix socket have no address, and websockify has to know that (from 0.12 on).
        if family(kwargs["listen_fd"]) == socket.AF_UNIX:
            self.unix_listen = "unix"

    def do_handshake(self, sock, address):
        """Bound what a client may leave hanging, then go on as websockify does.

        Each visitor has a process of its own, which the alarm ends.
        """
        signal.alarm(REQUEST_TIMEOUT)
        # Not by the socket's own word: websockify takes every listener that it is given for TCP's.
        if family(sock.fileno()) == socket.AF_UNIX:
            address = ("unix", 0)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL_TIMEOUT * 1000)
        return super().do_handshake(sock, address)


def family(descriptor):
    """Return a socket's address family as the kernel has it."""
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        return sock.family


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
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    cert = environ.get("NOVNC_CONSOLE_TLS_CERT") or os.path.join(directory, "tls.crt")
    key = environ.get("NOVNC_CONSOLE_TLS_KEY") or os.path.join(directory, "tls.key")
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
    if missing:
        raise missing
    return ConsoleProxy(
        RequestHandlerClass=ConsoleHandler,
        listen_fd=sys.stdin.fileno(),
        web=os.path.realpath(environ["NOVNC_CONSOLE_WEB_ROOT"]),
        # The unit of an older release of ours does not have it.
        settings=environ.get("NOVNC_CONSOLE_SETTINGS", ""),
        auth_plugin=AllowedOrigins(
            environ["NOVNC_CONSOLE_ORIGINS"].split(),
            "https" if environ["NOVNC_CONSOLE_TLS"] == "yes" else "http",
        ),
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
    # Visitors' processes are forks of this one: what is frozen stays shared memory.
    gc.freeze()
    gc.enable()
    proxy.start_server()


if __name__ == "__main__":
    main(os.environ)
