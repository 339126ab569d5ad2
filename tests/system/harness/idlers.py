"""Commands for `holdfast measure`, and the servers that they connect to.

    python3 -S -m harness.idlers client ADDRESS PORT [FILE]
    python3 -S -m harness.idlers loud ADDRESS PORT SECONDS
    python3 -S -m harness.idlers server PORT [HOW SECONDS]

The client connects, and leaves when its input ends; it writes a line to FILE when it does. The
loud one switches keepalive on all the time for so long after it has connected. The server keeps what connects. HOW: `fin` closes what has had no data for so long, and `rst` resets it,
as servers do; `path` resets what has had no packet, as some firewalls do; `talk` sends data then,
and `keepalive` has the kernel send probes.
"""

import os
import select
import socket
import struct
import subprocess
import sys
import time

from .netns import Netns
from .process import spawn, stop
from .remote import TESTS_DIR

# Python heeds no such option; it tells ours from those of other runs.
RUN = f"run={os.getpid()}"
MODULE = [sys.executable, "-B", "-S", "-X", RUN, "-m", "harness.idlers"]
TCP_INFO_SEGS_IN = 140  # struct tcp_info.tcpi_segs_in


def client(address: str, port: int, *file: str, kind: str = "client") -> list[str]:
    """The command that opens a connection."""
    return ["env", f"--chdir={TESTS_DIR}", *MODULE, kind, address, str(port), *file]


class Server:
    """A process that keeps connections."""

    def __init__(self, netns: Netns, port: int, how: str = "keep", seconds: float = 0) -> None:
        self._arguments = [*MODULE, "server", str(port), how, str(seconds)]
        self._netns = netns
        self.start()

    def start(self) -> None:
        """It takes connections when this returns."""
        # pylint: disable-next=consider-using-with
        self._process = spawn(self._arguments, self._netns, cwd=TESTS_DIR,
                              stdout=subprocess.PIPE)
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"

    def restart(self, pause: float) -> None:
        """All of its connections end."""
        self.close()
        time.sleep(pause)
        self.start()

    def close(self) -> None:
        """Ends it."""
        stop(self._process)
        assert self._process.stdout
        self._process.stdout.close()


def _packets(sock: socket.socket) -> int:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("=I", info, TCP_INFO_SEGS_IN)[0]


def _serve(port: int, how: str, seconds: float) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(128)
    print("ready", flush=True)
    kept: dict[socket.socket, tuple[float, int]] = {}
    while True:
        for ready in select.select([listener, *kept], [], [], 0.02)[0]:
            if ready is listener:
                sock = listener.accept()[0]
                kept[sock] = time.monotonic(), _packets(sock)
                if how == "keepalive":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(seconds))
            else:
                try:
                    data = ready.recv(100)
                except OSError:
                    data = b""
                if data:
                    kept[ready] = time.monotonic(), _packets(ready)
                else:
                    del kept[ready]
                    ready.close()
        for sock, (since, packets) in list(kept.items()):
            if how == "path" and _packets(sock) != packets:
                kept[sock] = time.monotonic(), _packets(sock)
            elif how == "talk" and time.monotonic() - since >= seconds:
                sock.send(b"still there?")
                kept[sock] = time.monotonic(), 0
            elif how in ("fin", "rst", "path") and time.monotonic() - since >= seconds:
                if how != "fin":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
                del kept[sock]
                sock.close()


def _idle(address: str, port: int, *file: str) -> None:
    sock = socket.create_connection((address, port))
    while os.read(0, 100):
        pass
    if file:
        with open(file[0], "a", encoding="ascii") as stream:
            stream.write("left\n")
    sock.close()


def _loud(address: str, port: int, seconds: float) -> None:
    sock = socket.create_connection((address, port))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    while os.read(0, 100):
        pass
    sock.close()


if __name__ == "__main__":
    if sys.argv[1] == "client":
        _idle(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    elif sys.argv[1] == "loud":
        _loud(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        _serve(int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
