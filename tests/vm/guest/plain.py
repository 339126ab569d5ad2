"""A server that is no database, and its client: it answers each line with the connection's number.
The client's socket has keepalive off."""

import socket
import socketserver
from itertools import count

from harness.fork import Forked, fork
from harness.netns import Netns

PORT = 5432
_numbers = count(1)


class _Answers(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        # Like database servers.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        number = next(_numbers)
        for _ in self.rfile:
            self.wfile.write(b"%d\n" % number)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def _serve() -> None:
    with _Server(("0.0.0.0", PORT), _Answers) as server:
        print("ready", flush=True)
        server.serve_forever(poll_interval=1e6)  # serves for ever


def start(netns: Netns) -> Forked:
    """Starts the server in a process of its own. Returns it once it listens."""
    process = fork(_serve, netns, None)
    assert process.stdout.readline() == b"ready\n"
    return process


def connect(host: str) -> socket.socket:
    """Opens a client's connection, with untouched options."""
    sock = socket.create_connection((host, PORT), 5)
    sock.settimeout(None)
    return sock


def ask(sock: socket.socket) -> int:
    """Returns the server's number of the connection."""
    sock.sendall(b"?\n")
    answer = sock.recv(64)
    if not answer:
        raise ConnectionError("closed by the server")
    return int(answer)
