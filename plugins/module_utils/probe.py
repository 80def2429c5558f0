# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Probes consoles hop by hop, and says at which hop the way ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from typing import Any

from ansible_collections.novnc.fleet.plugins.module_utils.console import (
    ConsoleTarget,
    connect_console,
    enter_console,
    parse_console,
)
from ansible_collections.novnc.fleet.plugins.module_utils.framebuffer import Framebuffer
from ansible_collections.novnc.fleet.plugins.module_utils.hops import Deadline, HopError
from ansible_collections.novnc.fleet.plugins.module_utils.page import fetch_page
from ansible_collections.novnc.fleet.plugins.module_utils.rfb import RfbClient
from ansible_collections.novnc.fleet.plugins.module_utils.stream import ByteStream
from ansible_collections.novnc.fleet.plugins.module_utils.websocket import UpgradeError


@dataclass(frozen=True)
class Console:
    """A console to probe.

    Attributes:
        target: Its address, in a notation of `console.parse_console`.
        expect_name: The desktop name it is to announce; QEMU announces ``QEMU (NAME)``.
        strict: Whether any other name is a failure.
        origin: HTTP ``Origin`` to send to its WebSocket proxy.
        page: URL of the page in front of it, which has to be served too.
    """

    target: str
    expect_name: str | None = None
    strict: bool = False
    origin: str | None = None
    page: str | None = None


@dataclass
class ProbeResult:
    """What a probe found. Times are in milliseconds from the start of the probe.

    Attributes:
        target: The address probed.
        ok: Whether a VNC server answered and announced nothing wrong.
        hop: Where the way ended: ``resolve``, ``connect``, ``tls``, ``page``, ``http``, ``rfb``,
            ``refused`` or ``name``; None if ``ok``.
        error: What happened there, in a sentence; None if ``ok``.
        errno: Name of the system's error behind that, such as ``ECONNREFUSED``, if any.
        http_status: Status of an HTTP answer that was no WebSocket.
        retry_after: Seconds after which that answer says to try again, if it does.
        version: The server's version of RFB, such as ``003.008``.
        security_types: Names of the logins it offers (numbers, as text, where nameless).
        desktop_name: The name it announced; None if it wants a login first.
        width: Width of its screen in pixels.
        height: Height of its screen in pixels.
        ms_connect: Until the connection stood.
        ms_first_byte: Until the first byte of RFB.
        ms_first_frame: Until the whole screen was read.
        verified: Whether the announced name is the expected one.
        framebuffer: The screen, if it was asked for and no login was wanted.
    """

    target: str
    ok: bool = False
    hop: str | None = None
    error: str | None = None
    errno: str | None = None
    http_status: int | None = None
    retry_after: int | None = None
    version: str | None = None
    security_types: list[str] = field(default_factory=list)
    desktop_name: str | None = None
    width: int | None = None
    height: int | None = None
    ms_connect: float | None = None
    ms_first_byte: float | None = None
    ms_first_frame: float | None = None
    verified: bool = False
    framebuffer: Framebuffer | None = field(default=None, repr=False)

    @property
    def refused(self) -> bool:
        """Whether nothing listens at the address, as when a directly addressed VM is off."""
        return self.hop == "connect" and self.errno in ("ECONNREFUSED", "ENOENT")

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the framebuffer, as JSON types."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "framebuffer"}
        return {**plain, "refused": self.refused}


def probe(
    target: str,
    *,
    expect_name: str | None = None,
    other_names: Collection[str] = (),
    expect_is_strict: bool = False,
    frame: bool = False,
    origin: str | None = None,
    page: str | None = None,
    ca: str | None = None,
    verify: bool = True,
    identity: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> ProbeResult:
    """Go the way to a console and tell how far it goes; raises nothing.

    Args:
        target: Address, in a notation of `console.parse_console`.
        expect_name: Desktop name to be announced.
        other_names: Names that consoles are to announce; one but ``expect_name`` is a failure.
        expect_is_strict: Whether any name but ``expect_name`` is a failure.
        frame: Whether to read the screen too.
        origin: HTTP ``Origin`` to send to a WebSocket proxy.
        page: URL of the page in front of it, to be loaded after it.
        ca: File of trusted certificates (PEM) for wss instead of the system's.
        verify: False takes any certificate for wss.
        identity: Files of a client certificate and its key for wss (PEM).
        headers: More HTTP headers for a WebSocket proxy.
        timeout: Seconds for the whole way.
    """
    result = ProbeResult(target)
    deadline = Deadline(timeout)
    try:
        place = _parsed(target)
        with connect_console(place, deadline) as transport:
            result.ms_connect = deadline.elapsed_ms()
            with enter_console(
                transport,
                place,
                origin=origin,
                ca=ca,
                verify=verify,
                identity=identity,
                headers=headers,
            ) as stream:
                _converse(result, stream, deadline, frame)
        _judge_name(result, expect_name, other_names, expect_is_strict)
        if page is not None:
            fetch_page(page, deadline, ca=ca, verify=verify)
        result.ok = True
    except HopError as error:
        result.hop, result.error = error.hop, str(error)
        result.errno, result.http_status = error.errno_name, error.http_status
        result.retry_after = error.retry_after if isinstance(error, UpgradeError) else None
    return result


def probe_all(
    consoles: Sequence[Console],
    *,
    other_names: Collection[str] = (),
    frame: bool = False,
    ca: str | None = None,
    verify: bool = True,
    identity: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    workers: int = 16,
) -> list[ProbeResult]:
    """Probe consoles side by side; each other one's expected name is wrong for a console.

    Args:
        consoles: What to probe.
        other_names: Desktop names that VMs beside ``consoles`` are to announce.
        frame: As in `probe`, and so all that follow but the last.
        ca: See there.
        verify: See there.
        identity: See there.
        headers: See there.
        timeout: See there.
        workers: How many to probe at a time, at least 1.

    Returns:
        The results, in the order of ``consoles``.
    """
    expected = {console.expect_name for console in consoles if console.expect_name is not None}
    names = expected.union(other_names)

    def probe_one(console: Console) -> ProbeResult:
        return probe(
            console.target,
            expect_name=console.expect_name,
            other_names=names,
            expect_is_strict=console.strict,
            frame=frame,
            origin=console.origin,
            page=console.page,
            ca=ca,
            verify=verify,
            identity=identity,
            headers=headers,
            timeout=timeout,
        )

    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(probe_one, consoles))


def _parsed(target: str) -> ConsoleTarget:
    try:
        return parse_console(target)
    except ValueError as error:
        raise HopError("resolve", str(error)) from error


def _converse(result: ProbeResult, stream: ByteStream, deadline: Deadline, frame: bool) -> None:
    """Go the hop ``rfb`` and note what the server says, even if it fails half way."""
    client = RfbClient(stream)
    try:
        client.handshake()
        if frame and client.info.name is not None:
            result.framebuffer = client.framebuffer()
            result.ms_first_frame = deadline.elapsed_ms()
    finally:
        info = client.info
        result.version, result.security_types = info.version, info.security_names
        result.desktop_name, result.width, result.height = info.name, info.width, info.height
        if stream.first_byte_at is not None:
            result.ms_first_byte = deadline.elapsed_ms(stream.first_byte_at)


def _judge_name(
    result: ProbeResult, expected: str | None, other_names: Collection[str], strict: bool
) -> None:
    """Set ``verified``. Raises HopError of hop ``name`` if the name is wrong."""
    name = result.desktop_name
    result.verified = name is not None and name == expected
    if result.verified or name is None:
        return
    wanted = "" if expected is None else f" instead of {expected!r}"
    if name in other_names:
        raise HopError(
            "name",
            f"{result.target} shows another VM: it announces {name!r}{wanted}; "
            "correct the address, or the target behind it in the proxy",
        )
    if strict and expected is not None:
        raise HopError("name", f"{result.target} announces {name!r}{wanted}")
