# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Passwords: the hash is RFC 7914's, and nothing that is none gets anybody in."""

from __future__ import annotations

import base64
import hashlib

import pytest
from ansible_collections.novnc.fleet.plugins.module_utils import passwords
from ansible_collections.novnc.fleet.plugins.module_utils.passwords import (
    PasswordError,
    check_hash,
    check_password,
    hash_password,
)

SALT = b"NaCl of 16 bytes"
GOOD = hash_password("pleaseletmein", SALT)


def test_the_hash_is_scrypt() -> None:
    name, log2_n, r, p, salt, hashed = GOOD.split("$")
    assert (name, log2_n, r, p) == ("scrypt", "15", "8", "1")
    assert base64.b64decode(salt) == SALT
    assert base64.b64decode(hashed) == hashlib.scrypt(
        b"pleaseletmein", salt=SALT, n=2**15, r=8, p=1, maxmem=2**26, dklen=32
    )


def test_a_vector_of_the_rfc_is_understood() -> None:
    # RFC 7914, section 12: N = 16384, r = 8, p = 1; of its 64 bytes the first 32.
    hashed = bytes.fromhex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    fields = (base64.b64encode(one).decode() for one in (b"SodiumChloride", hashed))
    assert check_password("pleaseletmein", "$".join(["scrypt", "14", "8", "1", *fields]))


@pytest.mark.parametrize("password", ["", "pleaseletmei", "Pleaseletmein", "pleaseletmein ", GOOD])
def test_another_password_is_not_the_one(password: str) -> None:
    assert check_password("pleaseletmein", GOOD)
    assert not check_password(password, GOOD)


@pytest.mark.parametrize("password", ["", "ümläut", "\ud800", "x" * 5000, "nul\0"])
def test_every_text_can_be_a_password(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "LOG2_N", 4)
    assert check_password(password, hash_password(password, SALT))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        GOOD.replace("scrypt", "bcrypt"),
        GOOD.replace("$15$", "$30$"),
        GOOD.replace("$15$", "$0$"),
        GOOD.replace("$15$", "$x$"),
        GOOD.replace("$8$1$", "$-8$1$"),
        GOOD.replace("$8$1$", "$8$0$"),
        GOOD.replace("$8$1$", "$8$4096$"),
        GOOD + "$",
        GOOD[:-4],
        GOOD.replace("=", "*"),
        GOOD.replace(base64.b64encode(SALT).decode(), ""),
    ],
)
def test_what_is_no_hash_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(PasswordError) as error:
        check_hash(text)
    assert not text or text not in str(error.value)
    with pytest.raises(PasswordError):
        check_password("pleaseletmein", text)
