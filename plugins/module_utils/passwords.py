# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Passwords as they are kept: hashed with scrypt (RFC 7914). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

LOG2_N, R, P = 15, 8, 1
"""What a new hash costs: 32 MiB of memory and about a tenth of a second."""
SALT_BYTES = 16
_LENGTH = 32
_MOST_MEMORY = 256 * 1024 * 1024


class PasswordError(ValueError):
    """A text that is no hash of a password; a sentence with the mend."""


def hash_password(password: str, salt: bytes) -> str:
    """Return ``scrypt$<log2 N>$<r>$<p>$<salt>$<hash>``, the last two in base64.

    Args:
        password: Of any length; a different one for each normal form of Unicode.
        salt: Bytes that no other password has, `SALT_BYTES` of them.
    """
    fields = (
        "scrypt",
        LOG2_N,
        R,
        P,
        _encoded(salt),
        _encoded(_scrypt(password, salt, LOG2_N, R, P)),
    )
    return "$".join(map(str, fields))


def check_password(password: str, password_hash: str) -> bool:
    """Tell whether a password is the one of a hash. Raises PasswordError."""
    cost, salt, expected = _parse(password_hash)
    return hmac.compare_digest(_scrypt(password, salt, *cost), expected)


def check_hash(password_hash: str) -> None:
    """Raise PasswordError unless a text is a hash that `check_password` can use."""
    _parse(password_hash)


def cost_of(password_hash: str) -> tuple[int, int, int]:
    """Return log2 N, r and p of a hash. Raises PasswordError."""
    return _parse(password_hash)[0]


def _parse(password_hash: str) -> tuple[tuple[int, int, int], bytes, bytes]:
    try:
        name, log2_n, r, p, *rest = password_hash.split("$")
        salt, expected = (base64.b64decode(one, validate=True) for one in rest)
        cost = (int(log2_n), int(r), int(p))
    except (ValueError, binascii.Error):
        raise PasswordError(_fault()) from None
    fit = name == "scrypt" and 1 <= cost[0] <= 24 and min(cost) >= 1 and cost[2] <= 16
    if not fit or _memory(*cost) > _MOST_MEMORY or len(salt) < 8 or len(expected) != _LENGTH:
        raise PasswordError(_fault())
    return cost, salt, expected


def _fault() -> str:
    # Not the text itself: it may be a password that somebody took for a hash.
    return (
        "a password hash must be scrypt$<log2 N>$<r>$<p>$<salt>$<hash>, with salt and hash in"
        f" base64 and at most {_MOST_MEMORY >> 20} MiB of memory to check it"
    )


def _memory(log2_n: int, r: int, p: int) -> int:
    return 128 * r * ((1 << log2_n) + p + 2)


def _scrypt(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"),
        salt=salt,
        n=1 << log2_n,
        r=r,
        p=p,
        maxmem=2 * _memory(log2_n, r, p),
        dklen=_LENGTH,
    )


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
