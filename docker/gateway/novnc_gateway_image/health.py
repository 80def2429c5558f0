# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""HEALTHCHECK: nginx and the directory answer, and so does an endpoint, if there are any.

Further than to its endpoints a gateway does not see without opening a session; whether a VM's
VNC server greets, they say themselves.
"""

from __future__ import annotations

import json
import re

from ansible_collections.novnc.fleet.plugins.module_utils.hops import HopError
from ansible_collections.novnc.fleet.plugins.module_utils.notation import TcpTarget, parse_target
from novnc_image.health import check, fetched, inside

from novnc_gateway_image.settings import HEALTH_JSON

_SILENT = re.compile(r'^novnc_gateway_endpoint_silent\{host="(.*)"\} (\d)', re.MULTILINE)


def look() -> None:
    """See that all of it answers. Raises HopError, OSError."""
    try:
        with open(HEALTH_JSON, encoding="utf-8") as file:
            health = json.load(file)
    except FileNotFoundError:
        raise HopError("start", f"the gateway has not started: there is no {HEALTH_JSON}") from None
    where = inside(TcpTarget(health["address"], int(health["port"])))
    fetched(where, "/healthz", tls=True, host=health["name"])
    an_endpoint_answers(fetched(parse_target(health["metrics"]), "/metrics", tls=False))


def an_endpoint_answers(metrics: str) -> None:
    """See that not all endpoints are silent. Raises HopError."""
    silent = dict(_SILENT.findall(metrics))
    if silent and "0" not in silent.values():
        raise HopError("endpoint", f"none of the endpoints answers: {', '.join(silent)}")


if __name__ == "__main__":
    check(look)
