"""A VNC server on 127.0.0.1:5990 that floods whoever asks for anything; runs on a host."""

import contextlib
import socket
import struct
import threading

NAME = b"FLOOD"
FORMAT = bytes([32, 24, 0, 1]) + struct.pack(">HHH", 255, 255, 255) + bytes([16, 8, 0, 0, 0, 0])


def flood(visitor: socket.socket) -> None:
    """Serve one visitor (RFC 6143, section 7)."""
    with visitor, contextlib.suppress(OSError):
        visitor.sendall(b"RFB 003.008\n")
        visitor.recv(12)
        visitor.sendall(b"\x01\x01")
        visitor.recv(1)
        visitor.sendall(bytes(4))
        visitor.recv(1)
        size = struct.pack(">HH", 64, 64)
        visitor.sendall(size + FORMAT + struct.pack(">I", len(NAME)) + NAME)
        visitor.recv(1)
        while True:
            visitor.sendall(bytes(65536))


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 5990))
    while True:
        threading.Thread(target=flood, args=(listener.accept()[0],), daemon=True).start()
