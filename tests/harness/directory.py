"""The gateway's directory as a process, and visitors that come as nginx would bring them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.harness.project import ROOT
from tests.harness.simulated import GATEWAY, Endpoints

ORIGIN = "https://gateway:8443"
TIMEOUT = 30.0
"""Seconds after which a test is stuck."""
_SOURCES = (ROOT / "roles/novnc_gateway/files", ROOT / "playbooks/collections")


def cheap_hash(password: str) -> str:
    """Return a hash of a password that costs nothing to check."""
    salt = b"salt of 16 bytes"
    hashed = hashlib.scrypt(password.encode(), salt=salt, n=16, r=8, p=1, dklen=32)
    return "$".join(
        ["scrypt", "4", "8", "1", *(base64.b64encode(x).decode() for x in (salt, hashed))]
    )


@dataclass
class Reply:
    """What a visitor was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("gateway", timeout=TIMEOUT)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(
    path: Path, method: str, target: str, headers: dict[str, str], body: str | None = None
) -> Reply:
    """Ask something on a unix socket."""
    connection = _Unix(path)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        found = {"Host": "gateway:8443", **headers}
        if body is not None:
            found["Content-Length"] = str(len(body))
        for name, value in found.items():
            connection.putheader(name, value)
        connection.endheaders(body.encode() if body else None)
        answer = connection.getresponse()
        return Reply(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


class Directory:
    """The process, and what is written for it.

    Attributes:
        settings: What ``gateway.json`` says; `write` writes it.
        users: The accounts.
        lines: All that it has told the journal.
        printed: The same, as it stood there.
    """

    def __init__(self, run: Path, endpoints: Endpoints, **settings: object) -> None:
        self.run, self.lines = run, list[dict[str, Any]]()
        self.printed: list[str] = []
        self.users: dict[str, dict[str, Any]] = {}
        pki = endpoints.pki
        self.settings: dict[str, Any] = {
            "names": ["gateway:8443"],
            "novnc": "/novnc/1.7.0",
            "endpoints": endpoints.settings(),
            "cert": str(pki / f"{GATEWAY}.crt"),
            "key": str(pki / f"{GATEWAY}.key"),
            "ca": str(pki / "ca.crt"),
            "certificates": {"endpoints": str(pki / f"{GATEWAY}.crt")},
            "poll_interval": 0.2,
            "metrics": "127.0.0.1:0",
            "control": str(run / "control.sock"),
            "state": str(run / "state.db"),
            "session_idle_timeout": 0,
            "session_timeout": 0,
            "max_consoles_per_user": 20,
            "max_consoles_per_vm": 20,
            "rules": [],
            "admins": ["user:ada"],
            "users": str(run / "users.json"),
            **settings,
        }
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(run / "http.sock"))
        self._listener.listen(128)
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ready.bind(str(run / "notify"))
        self._ready.settimeout(TIMEOUT)
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        self.process: subprocess.Popen[str] | None = None

    def write(self) -> None:
        """Write settings and accounts."""
        (self.run / "users.json").write_text(json.dumps(self.users))
        (self.run / "gateway.json").write_text(json.dumps(self.settings))

    def start(self) -> None:
        """Start the process; return when it serves."""
        self.write()
        listener = self._listener.fileno()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, _SOURCES)),
            "NOTIFY_SOCKET": str(self.run / "notify"),
        }
        # The listener as descriptor 3, as systemd hands it over.
        program = (
            f"import os, runpy; os.dup2({listener}, 3);"
            "runpy.run_module('novnc_directory', run_name='__main__', alter_sys=True)"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(self.run / "gateway.json")],
            env=environment,
            pass_fds=[listener],
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, args=[self.process], daemon=True).start()
        assert self._ready.recv(64) == b"READY=1"

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            self.printed.append(line)
            self._told.put(json.loads(line))

    def wait_for(self, event: str) -> dict[str, Any]:
        """Return the next line about something, when it comes."""
        while True:
            line = self._told.get(timeout=TIMEOUT)
            self.lines.append(line)
            if line["event"] == event:
                return line

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the process."""
        if self.process:
            self.process.send_signal(number)
            self.process.wait(TIMEOUT)
            if self.process.stdout:
                self.process.stdout.close()
            self.process = None

    def close(self) -> None:
        """End it, and give up its sockets."""
        self.stop()
        self._listener.close()
        self._ready.close()

    def reload(self, said: str = "reloaded") -> dict[str, Any]:
        """Let it read anew what is written; return what it says of that."""
        self.write()
        assert self.process
        self.process.send_signal(signal.SIGHUP)
        return self.wait_for(said)

    def disk_is_full(self, *, full: bool = True) -> None:
        """Let no file of its grow, or let them all."""
        assert self.process
        limits = (0 if full else resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, limits)

    def control(self, method: str, target: str) -> Reply:
        """Ask as root does."""
        return ask(self.run / "control.sock", method, target, {})

    def visitor(self, name: str, client: str = "192.0.2.7") -> Visitor:
        """Return somebody who has an account, and has not logged in."""
        self.users.setdefault(name, {"password_hash": cheap_hash(f"{name}'s password")})
        return Visitor(self, name, client)


class Visitor:
    """Somebody with a browser.

    Attributes:
        cookie: What the browser keeps for this gateway.
    """

    def __init__(self, directory: Directory, name: str, client: str) -> None:
        self.name, self.cookie = name, ""
        self._directory, self._client = directory, client

    def ask(self, method: str, target: str, body: str | None = None, **headers: str) -> Reply:
        """Ask the gateway, as nginx passes it on; headers have _ for -."""
        found = {"X-Console-Client": self._client}
        if self.cookie:
            found["Cookie"] = f"novnc_fleet_session={self.cookie}"
        found |= {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self._directory.run / "http.sock", method, target, found, body)

    def log_in(self, password: str | None = None, origin: str = ORIGIN, goal: str = "/") -> Reply:
        """Fill in the form."""
        known = f"{self.name}'s password" if password is None else password
        form = urlencode({"username": self.name, "password": known, "next": goal})
        kind = "application/x-www-form-urlencoded"
        answer = self.ask("POST", "/login", form, Origin=origin, Content_Type=kind)
        if "Set-Cookie" in answer.headers:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        return answer

    def open(self, target: str, origin: str = ORIGIN) -> Reply:
        """Return what nginx is told about a WebSocket."""
        return self.ask("GET", "/_authorize", X_Original_URI=target, Origin=origin)

    def console(self, vm: str) -> str:
        """Open a console; return its id."""
        answer = self.open(f"/vm/{vm}/websockify")
        assert answer.status == 204, answer
        return answer.headers["X-Console-Session"]
