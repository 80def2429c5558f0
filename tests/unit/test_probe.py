# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Probing hop by hop, over real sockets of this machine."""

from __future__ import annotations

import datetime
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.console import (
    WebSocketTarget,
    open_console,
    parse_console,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, UnixTarget
from ansible_collections.novnc.fleet.plugins.module_utils.probe import (
    Console,
    ProbeResult,
    probe,
    probe_all,
)
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.fakes import (
    VERSION,
    accept_websocket,
    frame,
    greeting,
    proxies,
    read_request,
    rectangle,
    says,
    serve,
    text,
    update,
)

Handler = Callable[[socket.socket], None]
SCREEN = update(rectangle(0, 0, 4, 3, bytes(range(36))))


@pytest.fixture
def free_port() -> int:
    """Return a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a self-signed certificate for 127.0.0.1; return it with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def over_tls(certificate: Path, handle: Handler) -> Handler:
    """Return ``handle`` behind TLS."""

    def handle_tls(connection: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        with context.wrap_socket(connection, server_side=True) as wrapped:
            handle(wrapped)

    return handle_tls


def answers(response: bytes) -> Handler:
    """Return a handler that answers an HTTP request with ``response`` and closes."""

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(response)

    return handle


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("ws://h:6080/p?token=a", WebSocketTarget(False, "h", 6080, "/p?token=a", "h:6080")),
        ("ws://h", WebSocketTarget(False, "h", 80, "/", "h")),
        ("wss://[2001:db8::1]", WebSocketTarget(True, "2001:db8::1", 443, "/", "[2001:db8::1]")),
        ("ws://[::1]:1?a=b", WebSocketTarget(False, "::1", 1, "/?a=b", "[::1]:1")),
        ("h:5900", TcpTarget("h", 5900)),
        ("[::1]:5900", TcpTarget("::1", 5900)),
        ("unix:/run/a.sock", UnixTarget("/run/a.sock")),
    ],
)
def test_addresses(address: str, target: object) -> None:
    assert parse_console(address) == target


@pytest.mark.parametrize(
    "address",
    [
        "http://h:1/",
        "ws://",
        "ws://h:0/",
        "ws://h:65536/",
        "ws://h:x/",
        "ws://[::1/",
        "ws://u:p@h/",
        "ws://h/#top",
        "ws://h/a b",
        "ws://h/a\nb",
        "ws://h/\u00fc",
        "h",
        "h:0",
        "unix:relative",
    ],
)
def test_what_is_no_address_is_said_before_anything_is_tried(address: str) -> None:
    result = probe(address)
    assert (result.ok, result.hop) == (False, "resolve")
    assert result.error
    with pytest.raises(ValueError, match=r"."):
        open_console(address)


def test_direct_tcp() -> None:
    with serve(says(greeting(), SCREEN)) as address:
        result = probe(address, expect_name="QEMU (web01)", frame=True, timeout=5)
    assert result.framebuffer is not None
    assert result.framebuffer.rgb == bytes(range(36))
    times = [result.ms_connect, result.ms_first_byte, result.ms_first_frame]
    assert None not in times
    assert times == sorted(times, key=float)  # type: ignore[arg-type]
    assert result == ProbeResult(
        target=address,
        ok=True,
        version="003.008",
        security_types=["none"],
        desktop_name="QEMU (web01)",
        width=4,
        height=3,
        verified=True,
        ms_connect=result.ms_connect,
        ms_first_byte=result.ms_first_byte,
        ms_first_frame=result.ms_first_frame,
        framebuffer=result.framebuffer,
    )
    plain = result.as_dict()
    assert "framebuffer" not in plain
    assert plain["refused"] is False


def test_without_frame_nothing_is_pictured() -> None:
    with serve(says(greeting())) as address:
        result = probe(address, timeout=5)
    assert (result.ok, result.framebuffer, result.ms_first_frame) == (True, None, None)
    assert not result.verified


def test_direct_ipv6() -> None:
    with serve(says(greeting()), host="::1") as address:
        assert probe(address, timeout=5).desktop_name == "QEMU (web01)"


def test_direct_unix(tmp_path: Path) -> None:
    with serve(says(greeting()), path=tmp_path / "a.sock") as address:
        assert probe(address, timeout=5).desktop_name == "QEMU (web01)"


def test_a_full_queue_of_a_unix_socket_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = socket.socket.connect
    full = [BlockingIOError(11, "Resource temporarily unavailable")] * 2

    def queue(sock: socket.socket, address: Any) -> None:
        if full:
            raise full.pop()
        connect(sock, address)

    with serve(says(greeting()), path=tmp_path / "a.sock") as address:
        monkeypatch.setattr(socket.socket, "connect", queue)
        assert probe(address, timeout=5).ok


def test_a_full_queue_is_not_tried_forever(tmp_path: Path) -> None:
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        result = probe(f"unix:{path}", timeout=0.3)
    assert (result.hop, result.errno) == ("connect", "ETIMEDOUT")


def test_a_name_with_several_addresses_is_tried_through(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    with serve(says(greeting())) as address:
        port = int(address.rpartition(":")[2])
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", p)) for p in (free_port, port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)
        assert probe("many.example:1", timeout=5).ok


def test_a_silent_address_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float | None] = []

    def hang(sock: socket.socket, _address: object) -> None:
        shares.append(sock.gettimeout())
        raise TimeoutError

    address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: [address] * 3)
    monkeypatch.setattr(socket.socket, "connect", hang)
    result = probe("many.example:1", timeout=9)
    assert (result.hop, result.errno) == ("connect", "ETIMEDOUT")
    assert [
        share is not None and share <= most for share, most in zip(shares, (3, 4.5, 9), strict=True)
    ] == [True] * 3


def test_through_a_websocket_proxy() -> None:
    requests: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        requests.append(accept_websocket(connection))
        says(frame(2, greeting()[:20]), frame(2, greeting()[20:] + SCREEN))(connection)

    with serve(handle, host="::1") as address:
        url = f"ws://{address}/websockify?token=web01"
        result = probe(
            url, expect_name="QEMU (web01)", frame=True, origin="http://o.example", timeout=5
        )
    assert (result.ok, result.verified, result.target) == (True, True, url)
    assert result.framebuffer is not None
    assert requests[0].startswith(b"GET /websockify?token=web01 HTTP/1.1\r\n")
    assert f"\r\nHost: {address}\r\n".encode() in requests[0]
    assert b"\r\nOrigin: http://o.example\r\n" in requests[0]


def test_wss_with_a_trusted_certificate(certificate: Path) -> None:
    with serve(over_tls(certificate, proxies(frame(2, greeting())))) as address:
        url = f"wss://{address}/"
        assert probe(url, ca=str(certificate), timeout=5).desktop_name == "QEMU (web01)"
        assert probe(url, verify=False, timeout=5).desktop_name == "QEMU (web01)"
        untrusted = probe(url, timeout=5)
        misnamed = probe(url.replace("127.0.0.1", "localhost"), ca=str(certificate), timeout=5)
    assert (untrusted.hop, misnamed.hop) == ("tls", "tls")
    assert untrusted.errno is None  # OpenSSL's error numbers are not the system's
    assert re.search("self.signed certificate; give its CA with 'ca'", str(untrusted.error))
    assert "not valid for 'localhost'; " in str(misnamed.error)


def test_a_certificate_of_its_own_and_headers_are_sent(certificate: Path) -> None:
    seen: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.load_verify_locations(certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        with context.wrap_socket(connection, server_side=True) as wrapped:
            seen.append(accept_websocket(wrapped))
            says(frame(2, greeting()))(wrapped)

    identity = (str(certificate), str(certificate))
    with serve(handle) as address:
        console = Console(f"wss://{address}/", "QEMU (web01)")
        sent = {"X-Console-User": "check"}
        (found,) = probe_all([console], ca=str(certificate), identity=identity, headers=sent)
        (nobody,) = probe_all([console], ca=str(certificate), headers=sent)
    assert (found.ok, found.verified, nobody.ok) == (True, True, False)
    assert b"\r\nX-Console-User: check\r\n" in seen[0]


def test_a_ca_file_that_is_missing(tmp_path: Path) -> None:
    with serve(says()) as address:
        result = probe(f"wss://{address}/", ca=str(tmp_path / "none.pem"), timeout=5)
    assert result.hop == "tls"
    assert "none.pem" in str(result.error)


def hang_up(connection: socket.socket) -> None:
    """Take the client's TLS hello and close."""
    connection.recv(65536)


Case = tuple[str, Handler, str, str]
CASES: list[Case] = [
    ("{}", says(b"220 mail.example ESMTP\r\n"), "rfb", "b'220 mail.example ESMTP"),
    ("{}", lambda _connection: None, "rfb", "closed the connection without sending a byte"),
    ("{}", says(VERSION + b"\x00" + text(b"Too many connections")), "refused", "'Too many conn"),
    ("{}", says(greeting()[:-16] + b"\x7f\xff\xff\xff"), "rfb", "desktop name of 2147483647 bytes"),
    ("ws://{}/", answers(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "http", "HTTP/1.1 403 Forbidden"),
    ("ws://{}/", answers(b""), "http", "knows no such token"),
    ("ws://{}/", says(VERSION), "http", "that is a VNC server"),
    ("ws://{}/", proxies(b"\x00\x00\x00\x00"), "rfb", "not a WebSocket frame"),
    ("ws://{}/", proxies(frame(2, b"HTTP")), "rfb", "not an RFB server"),
    ("ws://{}/", proxies(frame(8, b"\x03\xf3no VM")), "rfb", "did not answer.*1011 'no VM'"),
    ("ws://{}/", proxies(b"\x82\x7f" + b"\x7f" * 8), "rfb", "frame of 9187201950435737471 bytes"),
    ("wss://{}/", says(VERSION), "tls", "WRONG_VERSION_NUMBER; .* no TLS, use ws://"),
    ("wss://{}/", hang_up, "tls", "if it speaks no TLS, use ws://"),
]


@pytest.mark.parametrize(("url", "handle", "hop", "words"), CASES)
def test_the_way_ends(url: str, handle: Handler, hop: str, words: str) -> None:
    with serve(handle) as address:
        result = probe(url.format(address), timeout=5)
    assert (result.ok, result.hop, result.verified) == (False, hop, False)
    assert re.search(words, str(result.error))
    assert result.http_status == (403 if "403" in words else None)
    assert result.ms_connect is not None
    assert not result.refused


@pytest.mark.parametrize(
    ("url", "handle", "hop"),
    [
        ("{}", says(), "rfb"),
        ("{}", says(greeting()[:30]), "rfb"),
        ("ws://{}/", says(), "http"),
        ("ws://{}/", proxies(), "rfb"),
        ("wss://{}/", says(), "tls"),
    ],
)
def test_silence_is_told_at_its_hop(url: str, handle: Handler, hop: str) -> None:
    with serve(handle) as address:
        result = probe(url.format(address), timeout=0.5)
    assert (result.hop, result.errno) == (hop, "ETIMEDOUT")
    assert "no answer within 0.5 s" in str(result.error)


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: hang.wait(60))
    result = probe("slow.example:1", timeout=0.1)
    hang.set()
    assert (result.hop, result.errno) == ("resolve", "ETIMEDOUT")
    assert "'slow.example'" in str(result.error)


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "Name not known"), UnicodeError("label")])
def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(*_args: Any, **_named: Any) -> None:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    result = probe("nowhere.example:1", timeout=5)
    assert result.hop == "resolve"
    assert "cannot resolve host 'nowhere.example'" in str(result.error)
    assert result.ms_connect is None


def test_nobody_listening_is_told_from_other_failures(tmp_path: Path, free_port: int) -> None:
    closed = probe(f"127.0.0.1:{free_port}", timeout=5)
    assert (closed.hop, closed.errno, closed.refused) == ("connect", "ECONNREFUSED", True)
    assert f"127.0.0.1:{free_port}: Connection refused; nothing listens" in str(closed.error)
    missing = probe(f"unix:{tmp_path}/none", timeout=5)
    assert (missing.hop, missing.errno, missing.refused) == ("connect", "ENOENT", True)
    proxy = probe(f"ws://127.0.0.1:{free_port}/", timeout=5)
    assert (proxy.hop, proxy.refused) == ("connect", True)


def test_a_forbidden_socket_is_not_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # Patched, since root may open everything.
    def forbid(_sock: socket.socket, _address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", forbid)
    result = probe("unix:/run/a.sock", timeout=5)
    assert (result.hop, result.errno, result.refused) == ("connect", "EACCES", False)
    assert "this user may not open it" in str(result.error)


def test_a_login_is_no_failure() -> None:
    with serve(says(VERSION + b"\x01\x02")) as address:
        result = probe(address, expect_name="x", expect_is_strict=True, frame=True, timeout=5)
    assert (result.ok, result.verified, result.desktop_name) == (True, False, None)
    assert (result.security_types, result.framebuffer) == (["vnc"], None)
    assert result.ms_first_byte is not None


def test_an_unknown_name_is_not_the_expected_one() -> None:
    with serve(says(VERSION + b"\x01\x02")) as address:
        assert not probe(address, timeout=5).verified


WEB01, WEB02, WEB03 = "QEMU (web01)", "QEMU (web02)", "QEMU (web03)"


@pytest.mark.parametrize(
    ("expected", "others", "strict", "ok", "verified"),
    [
        (WEB01, (), False, True, True),
        (WEB01, (WEB01,), True, True, True),  # two consoles of one VM
        (WEB02, (WEB01,), False, False, False),
        (None, (WEB01,), False, False, False),
        (WEB02, (WEB03,), False, True, False),
        (WEB02, (), True, False, False),
        (None, (WEB02,), True, True, False),
    ],
)
def test_names(
    expected: str | None, others: tuple[str, ...], strict: bool, ok: bool, verified: bool
) -> None:
    with serve(says(greeting())) as address:
        result = probe(
            address,
            expect_name=expected,
            other_names=others,
            expect_is_strict=strict,
            timeout=5,
        )
    assert (result.ok, result.verified) == (ok, verified)
    assert result.hop == (None if ok else "name")
    assert result.desktop_name == WEB01
    if not ok:
        assert f"announces '{WEB01}'" in str(result.error)
        assert (f"instead of '{expected}'" in str(result.error)) == (expected is not None)


def test_many_keep_their_order_and_know_each_other(free_port: int) -> None:
    with serve(says(greeting())) as one, serve(says(greeting(name=WEB02.encode()))) as two:
        results = probe_all(
            [
                Console(two, WEB02),
                Console(f"127.0.0.1:{free_port}", WEB03),
                Console(two, WEB01),
                Console(one, "other", strict=True),
                Console(one),
            ],
            timeout=5,
            workers=5,
        )
    assert [result.hop for result in results] == [None, "connect", "name", "name", "name"]
    assert [result.verified for result in results] == [True, False, False, False, False]
    assert "shows another VM" in str(results[2].error)


def test_many_are_probed_with_all_options(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def record(target: str, **options: Any) -> ProbeResult:
        calls.append({"target": target, **options})
        return ProbeResult(target)

    monkeypatch.setattr("ansible_collections.novnc.fleet.plugins.module_utils.probe.probe", record)
    common: dict[str, Any] = {"frame": True, "ca": "/ca.pem", "verify": False, "timeout": 3.0}
    common |= {"identity": ("/c.crt", "/c.key"), "headers": {"X-Console-User": "check"}}
    probe_all(
        [Console("h:1", "a", True, "http://o"), Console("h:2", "b", page="http://p/")],
        **common,
        workers=1,
    )
    one = {
        "target": "h:1",
        "expect_name": "a",
        "expect_is_strict": True,
        "origin": "http://o",
        "page": None,
    }
    two = {
        "target": "h:2",
        "expect_name": "b",
        "expect_is_strict": False,
        "origin": None,
        "page": "http://p/",
    }
    names = {"other_names": {"a", "b"}}
    assert calls == [{**one, **names, **common}, {**two, **names, **common}]


def test_probes_run_side_by_side() -> None:
    barrier = threading.Barrier(2, timeout=5)

    def handle(connection: socket.socket) -> None:
        barrier.wait()  # until the other server is connected to as well
        says(greeting())(connection)

    with serve(handle) as one, serve(handle) as two:
        assert all(r.ok for r in probe_all([Console(one), Console(two)], timeout=5, workers=2))


def test_open_console_gives_a_stream_for_a_client() -> None:
    with (
        serve(proxies(frame(2, greeting()))) as address,
        open_console(f"ws://{address}/", timeout=5) as stream,
    ):
        assert RfbClient(stream).handshake().name == WEB01
    with serve(answers(b"HTTP/1.1 404 Not Found\r\n\r\n")) as address:
        with pytest.raises(HopError, match="404 Not Found") as caught:
            open_console(f"ws://{address}/", timeout=5)
        assert caught.value.http_status == 404


@pytest.mark.parametrize(
    ("answer", "hop_name", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None, ""),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "page",
            "answers 404 instead of 200",
        ),
        (b"nonsense\r\n\r\n", "page", "answers with no HTTP"),
        (b"", "page", "no HTTP"),
    ],
)
def test_the_page_in_front_is_loaded_too(answer: bytes, hop_name: str | None, words: str) -> None:
    def page(connection: socket.socket) -> None:
        assert read_request(connection).startswith(b"GET /vnc.html HTTP/1.1\r\n")
        connection.sendall(answer)

    with serve(says(greeting())) as console, serve(page) as address:
        result = probe(console, page=f"http://{address}/vnc.html")
    assert result.hop == hop_name, result
    assert words in (result.error or "")
    assert result.ok is (hop_name is None)


def test_a_page_that_is_none_is_refused() -> None:
    with serve(says(greeting())) as console:
        result = probe(console, page="ftp://h/")
    assert result.hop == "resolve"
