# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The WebSocket client, against RFC 6455, against scripts, and against `websockets`."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import pairwise

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MAX_PAYLOAD,
    PING,
    PONG,
    Frame,
    FrameError,
    FrameParser,
    encode_frame,
)
from ansible_collections.novnc.fleet.plugins.module_utils.hops import (
    Deadline,
    HopError,
    StreamClosedError,
    hop,
)
from ansible_collections.novnc.fleet.plugins.module_utils.stream import SocketStream
from ansible_collections.novnc.fleet.plugins.module_utils.websocket import (
    UpgradeError,
    WebSocketStream,
    accept_for,
    upgrade,
)
from hypothesis import given
from hypothesis import strategies as st
from websockets import Subprotocol
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from tests.unit.fakes import frame, read_request, switching_protocols, untimed

KEY = base64.b64encode(bytes(16))


def parse(pieces: list[bytes]) -> tuple[list[Frame], str | None]:
    """Return the frames of bytes that come in pieces, and the error that ends them."""
    parser = FrameParser()
    frames: list[Frame] = []
    for piece in pieces:
        parser.feed(piece)
        try:
            while (found := parser.next_frame()) is not None:
                frames.append(found)
        except FrameError as error:
            return frames, str(error)
    return frames, None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Return data cut at places, which are taken modulo its length."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([125, 126, 127, 65535, 65536]).map(lambda size: b"x" * size),
)
controls = st.builds(Frame, st.sampled_from([CLOSE, PING, PONG]), st.binary(max_size=125))


@st.composite
def conversations(draw: st.DrawFn) -> list[Frame]:
    """Draw whole messages in fragments, with control frames anywhere between them."""
    frames: list[Frame] = []
    for parts in draw(st.lists(st.lists(payloads, min_size=1, max_size=3), max_size=3)):
        for index, payload in enumerate(parts):
            frames += draw(st.lists(controls, max_size=1))
            opcode = CONTINUATION if index else BINARY
            frames.append(Frame(opcode, payload, index == len(parts) - 1))
    return frames


@untimed
@given(conversations(), st.lists(st.integers(0, 10**6), max_size=8))
def test_frames_are_the_same_however_they_are_cut(sent: list[Frame], places: list[int]) -> None:
    data = b"".join(frame(f.opcode, f.payload, f.final) for f in sent)
    assert parse(cut(data, places)) == (sent, None)


@untimed
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_any_bytes_parse_the_same_in_pieces(data: bytes, places: list[int]) -> None:
    frames, error = parse(cut(data, places))
    all_frames, all_error = parse([data])
    assert frames == all_frames
    # The bytes quoted after the colon are those that have come so far.
    assert (error or "").split(":")[0] == (all_error or "").split(":")[0]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        *((bytes([0x82 | bit, 0]), "reserved bits") for bit in (0x10, 0x20, 0x40)),
        (b"\x81\x05Hello", "opcode 0x1 where binary"),
        (b"\x83\x00", "opcode 0x3"),
        (b"\x82\x80", "must not mask"),
        (b"\x09\x00", "control frame is cut"),
        (b"\x89\x7e\x00\x7e", "longer than 125"),
        (frame(CONTINUATION, b"x"), "continuation without a start"),
        (frame(BINARY, b"x", final=False) + frame(BINARY, b"y"), "start within a message"),
        (b"HTTP/1.1", "b'HTTP/1.1'"),
        (b"\x82\x7f" + (MAX_PAYLOAD + 1).to_bytes(8, "big"), f"at most {MAX_PAYLOAD}"),
        (b"\x82\x7f" + b"\xff" * 8, "frame of 18446744073709551615 bytes"),
    ],
)
def test_broken_frames_are_told(data: bytes, words: str) -> None:
    _frames, error = parse([data])
    assert words in str(error)


def test_client_frame_is_that_of_the_rfc() -> None:
    expected = bytes.fromhex("818537fa213d7f9f4d5158")  # RFC 6455, section 5.7
    assert encode_frame(0x1, b"Hello", bytes.fromhex("37fa213d")) == expected


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_client_frames_have_the_lengths_of_server_frames(size: int) -> None:
    masked = encode_frame(BINARY, b"z" * size, bytes(4))
    plain = frame(BINARY, b"z" * size)
    header = len(plain) - size
    assert masked == plain[:1] + bytes([plain[1] | 0x80]) + plain[2:header] + bytes(4) + b"z" * size


def test_accept_is_that_of_the_rfc() -> None:
    assert accept_for("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SocketStream, socket.socket]]:
    """Make a client's stream and the server's end of it; keys and masks are all zeros."""
    monkeypatch.setattr(os, "urandom", bytes)
    client, server = socket.socketpair()
    with closing(SocketStream(client, "proxy:6080", Deadline(5))) as stream, server:
        server.settimeout(5)
        yield stream, server


Pair = tuple[SocketStream, socket.socket]


def test_request_has_what_a_proxy_needs(pair: Pair) -> None:
    stream, server = pair
    server.sendall(
        switching_protocols(KEY, "Sec-WebSocket-Protocol: binary\r\n") + frame(2, b"RFB")
    )
    websocket = upgrade(stream, "h:1", "/p?token=a", headers={"Origin": "https://o.example"})
    assert websocket.read_exactly(3) == b"RFB"  # which came along with the answer
    lines = read_request(server).decode().split("\r\n")
    assert lines[0] == "GET /p?token=a HTTP/1.1"
    assert set(lines[1:-2]) == {
        "Host: h:1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY.decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: binary",
        "Origin: https://o.example",
    }


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nX-Why: origin\r\n\r\n", 403, "403 Forbidden.*origins"),
        (b"HTTP/1.0 405\r\n\r\n", 405, "websockify answers so"),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://b/\r\n\r\n", 301, r"\(to 'https://b/'\)"),
        (b"HTTP/1.1 299 Odd\r\n\r\n", 299, "instead of a WebSocket$"),
        (b"HTTP/1.1 101 Hm\r\n\r\n", 101, "without upgrading"),
        (switching_protocols(KEY).replace(b"WebSocket", b"h2c"), 101, "without upgrading"),
        (switching_protocols(KEY).replace(b": Upgrade", b": close"), 101, "without upgrading"),
        (switching_protocols(b"other"), 101, "wrong Sec-WebSocket-Accept"),
        (switching_protocols(KEY, "Sec-WebSocket-Protocol: mqtt\r\n"), 101, "subprotocol 'mqtt'"),
        (switching_protocols(KEY, "Sec-WebSocket-Protocol: bin\r\n"), 101, "subprotocol 'bin'"),
        (switching_protocols(KEY, "Sec-WebSocket-Extensions: x\r\n"), 101, "extensions 'x'"),
        (b"HTTP/1.1 OK\r\n\r\n", None, "not an HTTP status line"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 9000, None, "more than 32768 bytes of headers"),
        (b"RFB 003.008\n", None, "that is a VNC server"),
        (b"\x15\x03\x01\x00\x02\x02\x46", None, "that is TLS, so use wss"),
        (b"SSH-2.0-OpenSSH", None, "b'SSH-2.0-OpenSSH'$"),
    ],
)
def test_answers_without_a_websocket(
    pair: Pair, answer: bytes, status: int | None, words: str
) -> None:
    stream, server = pair
    server.sendall(answer)
    with pytest.raises(UpgradeError, match=words) as caught:
        upgrade(stream, "h", "/")
    assert (caught.value.hop, caught.value.http_status) == ("http", status)
    if status == 403:
        assert caught.value.headers is not None
        assert caught.value.headers["x-why"] == "origin"


@pytest.mark.parametrize(("said", "seconds"), [("60", 60), ("soon", None), ("", None)])
def test_when_to_try_again(pair: Pair, said: str, seconds: int | None) -> None:
    stream, server = pair
    server.sendall(f"HTTP/1.1 503 Full\r\nRetry-After: {said}\r\n\r\n".encode())
    with pytest.raises(UpgradeError) as caught:
        upgrade(stream, "h", "/")
    assert caught.value.retry_after == seconds


def test_closing_instead_of_an_answer_means_the_token(pair: Pair) -> None:
    stream, server = pair
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(UpgradeError, match=r"without sending a byte; websockify.*no such token"):
        upgrade(stream, "h", "/")


def test_headers_cannot_be_smuggled(pair: Pair) -> None:
    stream, server = pair
    with pytest.raises(UpgradeError, match="cannot be sent"):
        upgrade(stream, "h", "/", headers={"Origin": "a\r\nX: y"})
    stream.close()
    assert server.recv(1) == b""


def test_messages_are_one_stream_and_pings_are_answered(pair: Pair) -> None:
    stream, server = pair
    websocket = WebSocketStream(stream)
    server.sendall(frame(BINARY, b"ab", final=False) + frame(PING, b"hi") + frame(PONG, b"no"))
    server.sendall(frame(CONTINUATION, b"") + frame(BINARY, b"cde" * 30000))
    assert websocket.first_byte_at is None
    assert websocket.read_exactly(4) == b"abcd"
    assert websocket.receive() == b"ecd" + b"ecd" * 29998 + b"e"
    assert websocket.first_byte_at is not None
    assert server.recv(100) == encode_frame(PONG, b"hi", bytes(4))
    websocket.send(b"key")
    assert server.recv(100) == encode_frame(BINARY, b"key", bytes(4))


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\x03\xf3Failed to connect", "with code 1011 'Failed to connect'"),
        (b"\x03\xe8", "with code 1000;"),
        (b"", "closed without a code"),
    ],
)
def test_close_before_any_byte_blames_the_vnc_server(
    pair: Pair, payload: bytes, words: str
) -> None:
    stream, server = pair
    websocket = WebSocketStream(stream)
    server.sendall(frame(PONG) + frame(BINARY) + frame(CLOSE, payload))
    with pytest.raises(StreamClosedError, match=f"VNC server did not answer.*{words}"):
        websocket.read_exactly(1)
    websocket.close()
    assert server.recv(100) == encode_frame(CLOSE, payload[:2], bytes(4))
    assert server.recv(100) == b""


def test_close_after_data_comes_after_the_data(pair: Pair) -> None:
    stream, server = pair
    websocket = WebSocketStream(stream)
    server.sendall(frame(BINARY, b"RFB") + frame(CLOSE, b"\x03\xe8Target closed"))
    assert websocket.read_exactly(3) == b"RFB"
    with pytest.raises(StreamClosedError, match=r"proxy:6080 closed.*1000 'Target closed'\)$"):
        websocket.read_exactly(1)


def test_disappearing_is_told_from_closing(pair: Pair) -> None:
    stream, server = pair
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(StreamClosedError, match="closed without a close frame"):
        WebSocketStream(stream).read_exactly(1)


def test_broken_frames_end_the_stream(pair: Pair) -> None:
    stream, server = pair
    server.sendall(b"garbage")
    with pytest.raises(HopError, match="proxy:6080 sent not a WebSocket frame") as caught:
        WebSocketStream(stream).read_exactly(1)
    assert caught.value.hop == "rfb"


def test_leaving_says_goodbye_once(pair: Pair) -> None:
    stream, server = pair
    with WebSocketStream(stream) as websocket:
        websocket.close()
    assert server.recv(100) == encode_frame(CLOSE, b"\x03\xe8", bytes(4))
    assert server.recv(100) == b""


def test_leaving_a_proxy_that_is_gone_raises_nothing(pair: Pair) -> None:
    stream, server = pair
    server.close()
    WebSocketStream(stream).close()


def test_the_deadline_covers_reading_and_writing() -> None:
    client, server = socket.socketpair()
    with closing(SocketStream(client, "peer", Deadline(0.05))) as stream, server:
        with pytest.raises(HopError, match=r"no answer within 0\.05 s") as caught:
            stream.read_exactly(1)
        assert caught.value.errno_name == "ETIMEDOUT"
        server.sendall(b"late")
        with pytest.raises(HopError, match="cannot read from peer"):
            stream.read_exactly(1)
        with pytest.raises(HopError, match="cannot write to peer"):
            stream.send(b"late")


def test_errors_of_openssl_are_not_the_systems() -> None:
    with pytest.raises(HopError, match="cannot read") as caught, hop("http", "read", Deadline(5)):
        raise ssl.SSLError(1, "alert")  # 1 is EPERM to the system
    assert caught.value.errno_name is None


def test_the_deadline_ends_a_server_that_drips() -> None:
    client, server = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        with suppress(OSError):
            while not stop.wait(0.001):
                server.sendall(b"x")

    thread = threading.Thread(target=drip)
    with closing(SocketStream(client, "peer", Deadline(0.1))) as stream, server:
        thread.start()
        with pytest.raises(HopError, match=r"no answer within 0\.1 s"):
            stream.read_exactly(10**9)
        stop.set()
        thread.join()


def test_the_websockets_library_understands_us() -> None:
    sizes = [1, 125, 126, 65535, 65536, 200_000]
    heard: list[int] = []

    def handle(connection: ServerConnection) -> None:
        assert connection.subprotocol == "binary"
        connection.ping(b"there?").wait(5)
        for message in connection:
            heard.append(len(message))
            connection.send([message[:1], message[1:]])  # in two fragments

    with serve_websockets(
        handle, "127.0.0.1", 0, subprotocols=[Subprotocol("binary")], compression=None
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        sock = socket.create_connection(server.socket.getsockname())
        with upgrade(SocketStream(sock, "library", Deadline(10)), "127.0.0.1", "/") as websocket:
            for size in sizes:
                data = os.urandom(size)
                websocket.send(data)
                assert websocket.read_exactly(size) == data
        server.shutdown()
        thread.join()
    assert heard == sizes
