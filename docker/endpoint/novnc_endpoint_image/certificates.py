# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""Certificates for endpoints and gateways in containers, by the roles' own authority."""

from __future__ import annotations

import argparse
from pathlib import Path

from ansible_collections.novnc.fleet.plugins.plugin_utils.pki import Authority, PkiError, Request
from novnc_image.environment import BAD_VALUE


def main(arguments: list[str]) -> None:
    """Make those that are missing or due. Raises SystemExit."""
    parser = argparse.ArgumentParser(prog="certificates", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the authority is, made if need be")
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="NAME[=NAME,…]",
        help="a server, with the other names and the addresses that its certificate bears",
    )
    parser.add_argument("--client", action="append", default=[], help="a gateway's name")
    options = parser.parse_args(arguments)
    try:
        requests = [_server(text) for text in options.server]
        requests += [Request.of("client", name) for name in options.client]
    except PkiError as error:
        parser.exit(BAD_VALUE, f"{error}\n")
    authority = Authority(options.directory)
    try:
        authority.issue(requests)
    except (PkiError, OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    print("\n".join(str(options.directory / name) for name in authority.written))


def _server(text: str) -> Request:
    name, _, more = text.partition("=")
    return Request.of("server", name, filter(None, more.split(",")))
