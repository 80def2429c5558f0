# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The endpoint's gate during the handshake, against RFC 6143, sections 7.1 to 7.3."""

from __future__ import annotations

import pytest
from novnc_endpoint.gate import VERSION, Gate, Refusal, Refused, refusal

from tests.unit.fakes import NAME, server_init, text
from tests.unit.passage import CLIENT, SERVER, Passage, Piece, bytewise

V33, V37, V38 = b"RFB 003.003\n", b"RFB 003.007\n", b"RFB 003.008\n"
OK, FAILED = b"\x00\x00\x00\x00", b"\x00\x00\x00\x01"
CHALLENGE, RESPONSE = bytes(range(16)), bytes(range(16, 32))
INIT = server_init()
EXPECTED = NAME.decode()
MODES = ["control", "watch"]

VNC_38: list[Piece] = [
    (SERVER, V38),
    (CLIENT, V38),
    (SERVER, b"\x01\x02"),
    (CLIENT, b"\x02"),
    (SERVER, CHALLENGE),
    (CLIENT, RESPONSE),
]

HANDSHAKES: dict[str, list[Piece]] = {
    "3.3 none": [(SERVER, V33), (CLIENT, V33), (SERVER, b"\x00\x00\x00\x01")],
    "3.3 vnc": [
        (SERVER, V33),
        (CLIENT, V33),
        (SERVER, b"\x00\x00\x00\x02" + CHALLENGE),
        (CLIENT, RESPONSE),
        (SERVER, OK),
    ],
    "3.7 none": [(SERVER, V37), (CLIENT, V37), (SERVER, b"\x01\x01"), (CLIENT, b"\x01")],
    "3.7 vnc": [
        (SERVER, V37),
        (CLIENT, V37),
        (SERVER, b"\x02\x02\x01"),
        (CLIENT, b"\x02"),
        (SERVER, CHALLENGE),
        (CLIENT, RESPONSE),
        (SERVER, OK),
    ],
    "3.8 none": [
        (SERVER, V38),
        (CLIENT, V38),
        (SERVER, b"\x01\x01"),
        (CLIENT, b"\x01"),
        (SERVER, OK),
    ],
    "3.8 vnc": [*VNC_38, (SERVER, OK)],
    "3.8, spoken as 3.3": [(SERVER, V38), (CLIENT, V33), (SERVER, b"\x00\x00\x00\x01")],
}


def whole(name: str) -> list[Piece]:
    """Return a handshake up to its end."""
    return [*HANDSHAKES[name], (CLIENT, b"\x00"), (SERVER, INIT)]


def said(pieces: list[Piece], sender: str) -> bytes:
    return b"".join(data for side, data in pieces if side == sender)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("expect_name", [EXPECTED, None])
@pytest.mark.parametrize("name", HANDSHAKES)
def test_handshakes_pass(name: str, expect_name: str | None, mode: str) -> None:
    pieces = whole(name)
    for cut in (pieces, list(bytewise(pieces))):
        passage = Passage(mode, expect_name).play(*cut)
        assert passage.refused is None
        offered = said(pieces, SERVER)
        assert passage.to_client == offered
        assert passage.to_server == said(pieces, CLIENT)[:-1] + b"\x01"
        assert passage.gate.ready


@pytest.mark.parametrize("name", HANDSHAKES)
def test_all_of_a_side_at_once(name: str) -> None:
    """What comes before its turn waits for it, and what follows the handshake is not lost."""
    pieces = whole(name)
    merged = [(CLIENT, said(pieces, CLIENT) + b"\x04more"), (SERVER, said(pieces, SERVER) + b"!!")]
    for order in (merged, merged[::-1]):
        passage = Passage("control", EXPECTED).play(*order, (CLIENT, b""), (SERVER, b""))
        assert passage.to_client == said(pieces, SERVER) + b"!!"
        assert passage.to_server == said(pieces, CLIENT)[:-1] + b"\x01\x04more"
        assert passage.gate.ready


def test_nothing_is_copied_once_it_is_ready() -> None:
    gate = Passage("control", EXPECTED).play(*whole("3.8 none")).gate
    data = memoryview(b"\x04\x01\x00\x00\x00\x00\x00A")
    assert gate.from_server(data) is data
    assert gate.from_client(data) is data
    assert gate.input_seen == 1


@pytest.mark.parametrize(
    ("server", "heard"),
    [
        (b"RFB 003.003\n", V33),
        (b"RFB 003.005\n", V33),
        (b"RFB 003.006\n", V33),  # UltraVNC
        (b"RFB 003.007\n", V37),
        (b"RFB 003.008\n", V38),
        (b"RFB 003.889\n", V38),  # Apple
        (b"RFB 004.000\n", V38),  # Intel AMT
        (b"RFB 004.001\n", V38),  # RealVNC
        (b"RFB 005.000\n", V38),
    ],
)
def test_versions_of_servers(server: bytes, heard: bytes) -> None:
    """What noVNC answers to each, it answers to what it hears here."""
    passage = Passage("control").play((SERVER, server))
    assert passage.to_client == heard


@pytest.mark.parametrize(
    "sent",
    [b"SSH-2.0-OpenSSH_10.0\r\n", b"RFB 000.000\n", b"RFB 003.00x\n", b"HTTP", b"RFB 2.0 ok\n\n"],
)
def test_no_vnc_server(sent: bytes) -> None:
    passage = Passage("control").play((SERVER, sent))
    assert passage.refused
    assert "no VNC server" in passage.refused
    assert passage.told == VERSION  # and the reason once the client has answered


@pytest.mark.parametrize("server", [V33, V37, V38])
@pytest.mark.parametrize("client", [b"RFB 003.004\n", b"RFB 004.001\n", b"GET / HTTP/1"])
def test_versions_of_clients(server: bytes, client: bytes) -> None:
    passage = Passage("control").play((SERVER, server), (CLIENT, client))
    assert "the viewer must speak RFB 3.3, 3.7 or 3.8" in str(passage.refused)
    assert passage.to_server == b""
    assert passage.told[:1] == b"\x00"


def test_a_client_does_not_exceed_its_server() -> None:
    passage = Passage("control").play((SERVER, V33), (CLIENT, V38))
    assert "at most 3.3" in str(passage.refused)


@pytest.mark.parametrize("expect_name", [EXPECTED, None])
def test_only_readable_logins_are_offered_to_who_watches(expect_name: str | None) -> None:
    passage = Passage("watch", expect_name).play(
        (SERVER, V38), (CLIENT, V38), (SERVER, b"\x04\x13\x02\x10\x01")
    )
    assert passage.to_client == V38 + b"\x02\x02\x01"
    passage.play((CLIENT, b"\x13"))
    assert "type 19, which was not offered" in str(passage.refused)
    assert passage.to_server == V38


def test_what_can_be_checked_goes_before_what_cannot() -> None:
    offer = [(SERVER, V38), (CLIENT, V38), (SERVER, b"\x02\x13\x02")]
    assert Passage("control", EXPECTED).play(*offer).to_client == V38 + b"\x01\x02"
    assert Passage("control", None).play(*offer).to_client == V38 + b"\x02\x13\x02"


@pytest.mark.parametrize("kind", [5, 16, 18, 19, 20, 30, 255])
def test_unreadable_logins_are_refused_to_who_watches(kind: int) -> None:
    passage = Passage("watch").play((SERVER, V38), (CLIENT, V38), (SERVER, bytes([1, kind])))
    assert "cannot be watched, only controlled" in str(passage.refused)
    assert passage.to_client == V38
    assert passage.told == refusal(str(passage.refused))
    passage = Passage("watch").play((SERVER, V33), (CLIENT, V33), (SERVER, bytes([0, 0, 0, kind])))
    assert passage.told == refusal(str(passage.refused), V33)


@pytest.mark.parametrize("expect_name", [EXPECTED, None])
def test_unreadable_logins_pass_to_who_controls(expect_name: str | None) -> None:
    passage = Passage("control", expect_name).play(
        (SERVER, V38),
        (CLIENT, V38),
        (SERVER, b"\x01\x13"),
        (CLIENT, b"\x13"),
        (CLIENT, b"\xff\x4d"),
    )
    passage.play((SERVER, b"anything"), (CLIENT, b"at all"))
    assert passage.to_client == V38 + b"\x01\x13anything"
    assert passage.to_server == V38 + b"\x13\xff\x4dat all"
    assert passage.gate.ready
    assert passage.gate.input_seen == 8


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", HANDSHAKES)
@pytest.mark.parametrize("announced", [b"QEMU (db01)", b"QEMU (web01) ", b"", b"\xff\x00"])
def test_another_vm(announced: bytes, name: str, mode: str) -> None:
    pieces = [*HANDSHAKES[name], (SERVER, server_init(name=announced)), (CLIENT, b"\x01")]
    for cut in (pieces, list(bytewise(pieces))):
        passage = Passage(mode, EXPECTED).play(*cut)
        assert "'QEMU (web01)' shows another VM: " in str(passage.refused)
        assert passage.to_client == said(HANDSHAKES[name], SERVER).removesuffix(OK)
        shown = name in ("3.8 none", "3.8 vnc")  # others have no way to tell
        reason = text(str(passage.refused).encode("latin-1", "replace"))
        assert passage.told == (FAILED + reason if shown else b"")
        with pytest.raises(Refused):
            passage.gate.from_server(b"x")
        with pytest.raises(Refused):
            passage.gate.from_client(b"x")


def test_a_name_of_any_form_where_none_is_expected() -> None:
    pieces = [*HANDSHAKES["3.8 none"], (CLIENT, b"\x01"), (SERVER, server_init(name=b"x11: kim"))]
    passage = Passage("watch", None).play(*pieces)
    assert passage.gate.ready


@pytest.mark.parametrize("name", ["QEMU (Büro 1)".encode(), b"QEMU (B\xfcro 1)"])
def test_names_that_are_not_ascii(name: bytes) -> None:
    """In UTF-8, and otherwise as Python reads them from a command line."""
    passage = Passage("watch", name.decode("utf-8", "surrogateescape")).play(
        *HANDSHAKES["3.8 none"], (CLIENT, b"\x01"), (SERVER, server_init(name=name))
    )
    assert passage.gate.ready
    passage = Passage("watch", name.decode("utf-8", "surrogateescape")).play(
        *HANDSHAKES["3.8 none"], (SERVER, INIT)
    )
    assert "shows another VM" in str(passage.refused)
    assert passage.told


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "pieces",
    [
        [(SERVER, V38), (CLIENT, V38), (SERVER, b"\x00" + text(b"too many"))],
        [(SERVER, V37), (CLIENT, V37), (SERVER, b"\x00" + text(b""))],
        [(SERVER, V33), (CLIENT, V33), (SERVER, b"\x00\x00\x00\x00" + text(b"no"))],
        [*VNC_38, (SERVER, FAILED + text(b"wrong password"))],
        [*HANDSHAKES["3.8 none"][:-1], (SERVER, FAILED + text(b"not you"))],
        [*HANDSHAKES["3.7 vnc"][:-1], (SERVER, FAILED)],
        [*HANDSHAKES["3.3 vnc"][:-1], (SERVER, b"\x00\x00\x00\x02")],
    ],
)
def test_the_server_turns_somebody_away(pieces: list[Piece], mode: str) -> None:
    for cut in (pieces, list(bytewise(pieces))):
        passage = Passage(mode, EXPECTED).play(*cut, (CLIENT, b"\x01"), (SERVER, INIT))
        assert passage.refused is None
        assert passage.to_client == said(pieces, SERVER)
        assert passage.to_server == said(pieces, CLIENT)
        assert not passage.gate.ready


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (
            [(SERVER, V38), (CLIENT, V38), (SERVER, b"\x00\xff\xff\xff\xff")],
            "a reason of 4294967295",
        ),
        ([*HANDSHAKES["3.8 none"], (SERVER, INIT[:20] + b"\x00\x01\x00\x01")], "name of 65537"),
        ([(CLIENT, bytes(200_000))], "the client sent more than"),
        ([(SERVER, V38 + bytes(200_000))], "the server sent more than"),
    ],
)
def test_bounds(pieces: list[Piece], words: str) -> None:
    assert words in str(Passage("control").play(*pieces).refused)


def test_other_modes() -> None:
    with pytest.raises(ValueError, match="control or watch, not 'look'"):
        Gate("look", None)


@pytest.mark.parametrize(
    ("client", "answer"),
    [(V38, b"\x00"), (V37, b"\x00"), (V33, b"\x00\x00\x00\x00"), (b"RFB 005.000\n", b"\x00")],
)
def test_a_refusal(client: bytes, answer: bytes) -> None:
    away = Refusal("web01 is switched off")
    assert away.opening == VERSION
    assert [away.from_client(client[:5]), away.done] == [b"", False]
    assert away.from_client(client[5:] + b"\x01") == answer + text(b"web01 is switched off")
    assert away.done
    assert away.from_client(b"more") == b""


def test_a_reason_that_is_not_ascii() -> None:
    """In noVNC each byte becomes a character."""
    assert refusal("Büro ☎") == b"\x00" + text(b"B\xfcro ?")


def test_the_endpoint_refuses_at_any_time() -> None:
    """Whatever the point, the client gets a way to the reason, or nothing, but never rubbish."""
    told = []
    pieces = [*VNC_38, (SERVER, OK), (CLIENT, b"\x01"), (SERVER, INIT)]
    for count in range(len(pieces) + 1):
        passage = Passage("control", EXPECTED).play(*pieces[:count])
        away = passage.gate.refuse("stopped")
        told.append((away.opening, away.from_client(V38)))
        with pytest.raises(Refused):
            passage.gate.from_client(b"x")
    reason = text(b"stopped")
    assert told == [
        (VERSION, b"\x00" + reason),
        (b"", b"\x00" + reason),
        (b"\x00" + reason, b""),
        (b"", b""),
        (b"", b""),
        (b"", b""),
        (FAILED + reason, b""),
        (FAILED + reason, b""),
        (FAILED + reason, b""),
        (b"", b""),
    ]


def test_a_refusal_while_the_client_says_its_version() -> None:
    passage = Passage("control").play((SERVER, V38), (CLIENT, V38[:5]))
    away = passage.gate.refuse("stopped")
    assert (away.opening, away.done) == (b"", False)
    assert away.from_client(V38[5:]) == b"\x00" + text(b"stopped")
