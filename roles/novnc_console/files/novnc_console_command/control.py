# Copyright: novnc-fleet contributors
# Apache License 2.0 (see LICENSE)
"""The endpoint's own socket on its host: who looks at what, and how to end it."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import quote

CONTROL = "/run/novnc-endpoint/control/main.sock"

_TIMEOUT = 5.0


class ControlError(Exception):
    """The endpoint does not do what it is asked; a sentence."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Connect. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Control:
    """A client of the endpoint.

    Args:
        path: Of its socket.
    """

    def __init__(self, path: str = CONTROL) -> None:
        self._path = path

    def sessions(self) -> list[dict[str, Any]]:
        """Return its sessions; none where there is no endpoint. Raises ControlError."""
        answer = self._ask("GET", "/sessions", 200)
        try:
            found: list[dict[str, Any]] = json.loads(answer or "[]")
        except ValueError:
            raise ControlError(f"{self._path} answers with no list of sessions") from None
        return found

    def end(self, session: str, user: str) -> bool:
        """End a session in somebody's name; return whether there was one. Raises ControlError."""
        path = f"/sessions/{quote(session, safe='')}"
        return self._ask("DELETE", path, 204, user) is not None

    def _ask(self, method: str, path: str, expected: int, user: str = "") -> str | None:
        """Return the answer's text; None where there is no socket, or nothing at that path."""
        connection = _Connection(self._path)
        # A header of text would have to be Latin-1.
        headers = {"X-Console-User": user.encode()} if user else {}
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except FileNotFoundError:
            return None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or error
            raise ControlError(
                f"the endpoint does not answer at {self._path}: {reason}; see"
                " 'journalctl -u novnc-endpoint'"
            ) from None
        finally:
            connection.close()
        if answer.status == 404:
            return None
        if answer.status != expected:
            raise ControlError(f"{self._path} answers {answer.status} to {method} {path}: {text}")
        return text
