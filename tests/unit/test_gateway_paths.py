# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Paths that visitors send: one form is taken, and it leads nowhere else."""

from __future__ import annotations

from urllib.parse import quote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from novnc_directory.paths import is_segment, local_path, path_of, vm_path

from tests.unit.fakes import untimed

SEGMENTS = st.text(min_size=1, max_size=60).filter(is_segment)
PIECES = st.sampled_from(
    [
        "/",
        "//",
        "\\",
        "vm",
        "..",
        ".",
        "%2e",
        "%2F",
        "%5c",
        "%00",
        "\t",
        "\n",
        "?",
        "#",
        "@",
        ":",
        "x",
        "websockify",
        "evil.example",
        "https:",
        "%25",
        "%",
        "é",
        "\x00",
        "\x7f",
    ]
)
HOSTILE = st.lists(PIECES, max_size=8).map("".join)


@untimed
@given(SEGMENTS)
def test_every_vm_has_a_path_that_leads_back_to_it(name: str) -> None:
    assert vm_path(path_of(name)) == (name, "")
    assert vm_path(f"{path_of(name)}websockify") == (name, "websockify")


@untimed
@given(st.one_of(HOSTILE, HOSTILE.map("/vm/{}/websockify".format), st.text()))
def test_what_is_taken_is_one_segment_decoded_once(raw: str) -> None:
    found = vm_path(raw)
    if found is None:
        return
    name, rest = found
    assert raw.count("/") == 3
    assert "/" not in name
    assert vm_path(f"/vm/{quote(name, safe='')}/{rest}") == found


@pytest.mark.parametrize(
    "raw",
    [
        "/vm//websockify",
        "/vm/../websockify",
        "/vm/%2e%2E/websockify",
        "/vm/a%2Fb/websockify",
        "/vm/a/b/websockify",
        "/vm/a%00/websockify",
        "/vm/a%0a/websockify",
        "/vm/%ff/websockify",
        "/vm/a%/websockify",
        "/vm/a%4/websockify",
        "/vm/a/websockify?x",
        "/vm/a/websockify#x",
        "/vm/a/websockify\n",
        "//vm/a/websockify",
        "/VM/a/websockify",
        "/./vm/a/websockify",
        "/vm/a/%77ebsockify",
        "vm/a/websockify",
        "https://gw/vm/a/websockify",
        f"/vm/{'a' * 3000}/websockify",
        "",
    ],
)
def test_nothing_else_is_taken(raw: str) -> None:
    assert vm_path(raw) is None


def test_an_escape_is_taken_for_an_escape_only_once() -> None:
    assert vm_path("/vm/a%252Fb/") == ("a%2Fb", "")


@pytest.mark.parametrize("path", ["/", "/vm/web01/", "/vm/zwei%20W%C3%B6rter/?a=1&b=//x"])
def test_a_log_in_goes_on_to_where_somebody_wanted_to_go(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//x/%2F..",
        "/\\x",
        "\\\\x",
        "https://x/",
        "javascript:alert(1)",
        "x",
        "/\t/x",
        "/a\\b",
        "/\n/x",
        " /",
        "/a b",
        "/é",
        "///x",
        "\t//x",
        f"/{'a' * 3000}",
    ],
)
def test_a_log_in_goes_nowhere_else(path: str) -> None:
    assert local_path(path) == "/"


@untimed
@given(st.one_of(HOSTILE, HOSTILE.map("/{}".format), st.text()))
def test_wherever_it_goes_is_here(text: str) -> None:
    # What a browser makes of it, which drops tabs and line ends and takes \ for /.
    seen = "".join(c for c in local_path(text) if c not in "\t\r\n").replace("\\", "/")
    assert urlsplit(urljoin("https://gateway/login", seen)).netloc == "gateway"
    assert local_path(text).isprintable()
