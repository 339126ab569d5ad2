"""The inside of sockets.Agent: opens, changes and inspects TCP sockets on order."""

import array
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import threading
from collections import Counter
from typing import Any

from . import build, netns, options
from .orders import rename, serve

SO_COOKIE = 57
TCP_REPAIR, TCP_REPAIR_OFF_NO_WP = 19, -1
PR_SET_PDEATHSIG = 1
CLONE_FILES = 0x400
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# A daemon may be starting meanwhile.
CONNECT_TIMEOUT = 90 if build.VALGRIND else 5
_libc = ctypes.CDLL(None, use_errno=True)
_sockets: dict[int, socket.socket] = {}


def _keep(sock: socket.socket) -> int:
    _sockets[sock.fileno()] = sock
    return sock.fileno()


def _new(address: str, family: str | None) -> socket.socket:
    six = family == "inet6" or ":" in address
    return socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)


def listen(address: str, port: int, backlog: int) -> dict[str, int]:
    """A listener; `::` takes IPv4 too."""
    sock = _new(address, None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(backlog)
    return {"id": _keep(sock), "port": sock.getsockname()[1]}


def listen_on(sock: int) -> None:
    """Makes a socket that isn't connected a listener, on a port of the kernel's choice."""
    _sockets[sock].listen(1024)


def disconnect(sock: int) -> None:
    """connect(AF_UNSPEC): as if it had never been connected."""
    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    if _libc.connect(sock, nowhere, len(nowhere)) < 0:
        raise OSError(ctypes.get_errno(), "connect(AF_UNSPEC)")


def connect_again(sock: int, address: str, port: int) -> None:
    """Connects a socket that isn't connected."""
    _sockets[sock].settimeout(CONNECT_TIMEOUT)
    _sockets[sock].connect((address, port))
    _sockets[sock].settimeout(None)


def restore(local: tuple[str, int], peer: tuple[str, int]) -> int:
    """A connection as CRIU restores it: TCP_REPAIR, and no packet."""
    sock = _new(local[0], None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.bind(tuple(local))
    sock.connect(tuple(peer))
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP)
    return _keep(sock)


def connect(address: str, port: int, family: str | None, source: str | None,
            source_port: int, device: str | None, values: dict[str, int]) -> int:
    """A connection; `values` are set before connect()."""
    sock = _new(address, family)
    options.write(sock, values)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if source or source_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((source or "", source_port))
    sock.settimeout(CONNECT_TIMEOUT)
    sock.connect((address, port))
    sock.settimeout(None)
    return _keep(sock)


def connect_many(address: str, port: int, count: int, values: dict[str, int]) -> list[int]:
    """So many connections."""
    more_descriptors()
    return [connect(address, port, None, None, 0, None, values) for _ in range(count)]


def more_descriptors() -> None:
    """Lets the process have as many files as it may ask for."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def accept(sock: int) -> int:
    """The next connection of a listener."""
    _sockets[sock].settimeout(5)
    new, _ = _sockets[sock].accept()
    new.settimeout(None)
    return _keep(new)


def info(sock: int) -> dict[str, Any]:
    """Who the socket is."""
    s = _sockets[sock]
    return {
        "fd": s.fileno(),
        "inode": os.fstat(s.fileno()).st_ino,
        "cookie": struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0],
        "local": s.getsockname()[:2],
        "peer": s.getpeername()[:2],
    }


def local_port(sock: int) -> int:
    """The port that a socket is bound to, connected or not."""
    return _sockets[sock].getsockname()[1]


def serve_all(sock: int) -> None:
    """From now on, accepts every connection of a listener in the background, and closes it."""
    def run() -> None:
        while True:
            _sockets[sock].accept()[0].close()

    threading.Thread(target=run, daemon=True).start()


def keep_all(sock: int, count: int) -> None:
    """From now on, accepts so many connections of a listener in the background, and keeps them."""
    def run() -> None:
        for _ in range(count):
            _keep(_sockets[sock].accept()[0])

    more_descriptors()
    threading.Thread(target=run, daemon=True).start()


def settings_of(socks: list[int]) -> list[tuple[options.Settings, int]]:
    """Each kind of settings that some sockets have, with how many."""
    return list(Counter(options.read(_sockets[sock]) for sock in socks).items())


def settings(sock: int) -> options.Settings:
    """The keepalive options in force."""
    return options.read(_sockets[sock])


def change(sock: int, values: dict[str, int]) -> None:
    """setsockopt on an open connection."""
    options.write(_sockets[sock], values)


def change_raw(sock: int, option: str, value: str) -> None:
    """setsockopt with a value of any length, in hexadecimal."""
    _sockets[sock].setsockopt(*options.NUMBERS[option], bytes.fromhex(value))


def send(sock: int, text: str) -> None:
    """Sends a little text."""
    _sockets[sock].sendall(text.encode())


def receive(sock: int) -> str:
    """What has come, or comes within 5 s; nothing at the end of the stream."""
    _sockets[sock].settimeout(5)
    text = _sockets[sock].recv(65536).decode()
    _sockets[sock].settimeout(None)
    return text


def error(sock: int) -> int:
    """The pending error (SO_ERROR) of a socket."""
    return _sockets[sock].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def close(sock: int) -> None:
    """Closes a socket."""
    _sockets.pop(sock).close()


def fork() -> int:
    """A child process that holds all the sockets too, and does nothing else."""
    pid = os.fork()
    if pid == 0:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        while True:
            signal.pause()
    return pid


def duplicate(sock: int, number: int) -> None:
    """A second descriptor of a socket, with that number."""
    os.dup2(sock, number)


def to_a_thread(sock: int) -> None:
    """From now on only a thread with a table of descriptors of its own has it open."""
    taken = threading.Event()

    def run() -> None:
        if _libc.unshare(CLONE_FILES) < 0:
            os.abort()
        taken.set()
        threading.Event().wait()

    threading.Thread(target=run, daemon=True).start()
    taken.wait()
    _sockets.pop(sock).close()


def loopback_up() -> None:
    """Brings up `lo` of the namespace that the process is in."""
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


_parked: dict[str, Any] = {}


def leave() -> None:
    """Moves into a namespace of its own; now only open sockets hold the old one."""
    netns.unshare_net()


def park(socks: list[int]) -> None:
    """Leaves the namespace and hides it and the sockets where no process has them open.

    They lie in the queue of a unix socket until unpark() takes them out again.
    """
    inside = netns.own_namespace()
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    fds = array.array("i", [inside, *socks])
    ends[0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
    os.close(inside)
    for sock in socks:
        _sockets.pop(sock).close()
    netns.unshare_net()
    _parked.update(ends=ends, count=len(fds))


def unpark() -> list[int]:
    """Takes everything back and enters the namespace again."""
    ends, count = _parked["ends"], _parked["count"]
    _, fds, _, _ = socket.recv_fds(ends[1], 1, count)
    netns.setns_net(fds[0])
    os.close(fds[0])
    return [_keep(socket.socket(fileno=fd)) for fd in fds[1:]]


class Churn:
    """Connects again and again, and notes which settings each connection got."""

    def __init__(self, address: str, port: int) -> None:
        self.target = (address, port)
        self.seen: dict[options.Settings, int] = {}
        self.fault: OSError | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Until told to stop, or until it fails."""
        try:
            while not self.stop.wait(0.001):
                self.once()
        except OSError as fault:
            self.fault = fault

    def once(self) -> None:
        """One connection, reset at its end so that no port stays taken."""
        with socket.create_connection(self.target, timeout=5) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first = options.read(sock)
            # Two readings that agree: a change between two getsockopt calls is no mixture.
            while (second := options.read(sock)) != first:
                first = second
            self.seen[first] = self.seen.get(first, 0) + 1


_churns: list[Churn] = []


def churn_start(address: str, port: int) -> None:
    """Starts connecting to an address in the background."""
    _churns.append(Churn(address, port))


def churn_stop() -> list[tuple[options.Settings, int]]:
    """Stops it; each kind of settings seen, with how often."""
    churn = _churns.pop()
    churn.stop.set()
    churn.thread.join()
    if churn.fault:
        raise churn.fault
    return list(churn.seen.items())


def main() -> None:
    """Takes orders."""
    serve({order.__name__: order for order in (
        listen, listen_on, connect, connect_many, disconnect, connect_again, restore, accept,
        serve_all, keep_all, info, local_port, settings, settings_of, change, change_raw, send,
        receive, error, close, fork, duplicate, to_a_thread, rename, loopback_up, leave, park,
        unpark, churn_start, churn_stop)})


if __name__ == "__main__":
    main()
