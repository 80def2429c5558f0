# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Paths as visitors send them: raw, and taken only in the one form that is meant. Pure."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

_VM = re.compile(r"/vm/((?:[^/?#%]|%[0-9A-Fa-f]{2})+)/([a-z.]*)")
_LOCAL = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
_LONGEST = 2048


def vm_path(raw: str) -> tuple[str, str] | None:
    """Return the VM and the rest of ``/vm/<vm>/<rest>``; None for anything else.

    The VM is decoded once; whatever that leaves of an escape is part of its name.

    Args:
        raw: The path as it stood in the request, without a query.
    """
    found = _VM.fullmatch(raw) if len(raw) <= _LONGEST else None
    if not found:
        return None
    try:
        vm = unquote_to_bytes(found[1]).decode()
    except UnicodeError:
        return None
    return (vm, found[2]) if is_segment(vm) else None


def is_segment(text: str) -> bool:
    """Tell whether a text can be one segment of a path, once encoded."""
    # Proxies and browsers decode these before they look for segments.
    return text.isprintable() and "/" not in text and text not in ("", ".", "..")


def path_of(segment: str) -> str:
    """Return the path of a console's page."""
    return f"/vm/{quote(segment, safe='@')}/"


def local_path(text: str) -> str:
    """Return where to go after the log-in: a path on this gateway, ``/`` for anything else."""
    return text if len(text) <= _LONGEST and _LOCAL.fullmatch(text) else "/"
