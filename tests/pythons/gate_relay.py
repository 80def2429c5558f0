"""The least endpoint that there can be: visitors of TCP ports, through a gate, to VNC servers.

Usage: ``gate_relay.py ROUTES`` with a list of ``{port, target, mode, expect_name}`` as JSON.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import threading
from typing import Any

from novnc_endpoint.gate import Gate, Refused


def turn_away(visitor: socket.socket, gate: Gate, reason: str) -> None:
    """Tell a visitor why it has to go."""
    refusal = gate.refuse(reason)
    visitor.sendall(refusal.opening)
    while not refusal.done:
        data = visitor.recv(65536)
        if not data:
            return
        visitor.sendall(refusal.from_client(data))


def relay(visitor: socket.socket, server: socket.socket, gate: Gate) -> None:
    """Pass on what may pass, until one of them goes."""
    with selectors.DefaultSelector() as selector:
        selector.register(visitor, selectors.EVENT_READ)
        selector.register(server, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not data:
                    return
                try:
                    if key.fileobj is server:
                        visitor.sendall(gate.from_server(data))
                        data = b""
                    server.sendall(gate.from_client(data))
                    visitor.sendall(gate.from_server(b""))
                except Refused as refused:
                    turn_away(visitor, gate, refused.reason)
                    return


def visit(visitor: socket.socket, route: dict[str, Any]) -> None:
    """Serve one visitor."""
    try:
        with visitor, socket.create_connection(tuple(route["target"])) as server:
            relay(visitor, server, Gate(route["mode"], route["expect_name"]))
    except OSError:
        pass  # one of the two is gone


def serve(route: dict[str, Any]) -> None:
    """Serve one port."""
    with socket.create_server(("", route["port"])) as listener:
        while True:
            visitor, _ = listener.accept()
            threading.Thread(target=visit, args=(visitor, route), daemon=True).start()


if __name__ == "__main__":
    for one in json.loads(sys.argv[1]):
        threading.Thread(target=serve, args=(one,)).start()
