"""A VNC server without a screen, to see what a proxy does to bytes; runs on a host.

Usage: ``vnc_server.py ADDRESS PORT NAME ANSWER``. After the handshake it sends back whatever comes
(ANSWER is ``echo``), or for whatever comes that many zeros (a number) and `END`.
"""

import contextlib
import socket
import struct
import sys
import threading

FORMAT = bytes([32, 24, 0, 1]) + struct.pack(">HHH", 255, 255, 255) + bytes([16, 8, 0, 0, 0, 0])
END = b"that was all"


def serve(visitor: socket.socket, name: bytes, answer: str) -> None:
    """Serve one visitor (RFC 6143, section 7)."""
    with visitor, contextlib.suppress(OSError):
        visitor.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        visitor.sendall(b"RFB 003.008\n")
        visitor.recv(12, socket.MSG_WAITALL)
        visitor.sendall(b"\x01\x01")
        visitor.recv(1)
        visitor.sendall(bytes(4))
        visitor.recv(1)
        visitor.sendall(struct.pack(">HH", 64, 64) + FORMAT + struct.pack(">I", len(name)) + name)
        while data := visitor.recv(65536):
            if answer == "echo":
                visitor.sendall(data)
                continue
            for _ in range(int(answer) // 65536):
                visitor.sendall(bytes(65536))
            visitor.sendall(END)


if __name__ == "__main__":
    address, port, name, answer = sys.argv[1:]
    listener = socket.create_server((address, int(port)), backlog=1024)
    while True:
        visitor = listener.accept()[0]
        threading.Thread(target=serve, args=(visitor, name.encode(), answer), daemon=True).start()
