"""A VNC server on port 5977 that wants a login, and counts visits in a file; runs on a host."""

import contextlib
import pathlib
import socket

VISITS = pathlib.Path("/run/test-login-visits")

if __name__ == "__main__":
    visits = 0
    listener = socket.create_server(("", 5977))
    VISITS.write_text("0")
    while True:
        visitor = listener.accept()[0]
        visits += 1
        VISITS.write_text(str(visits))
        with visitor, contextlib.suppress(OSError):
            visitor.sendall(b"RFB 003.008\n")
            visitor.recv(12)
            visitor.sendall(b"\x01\x02")
            visitor.recv(1)
