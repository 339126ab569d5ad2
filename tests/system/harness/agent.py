"""The helper process behind sockets.Agent: opens, changes and inspects TCP sockets on order."""

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
IPPROTO_MPTCP = 262
TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
# struct tls12_crypto_info_aes_gcm_128 with TLS 1.2, AES-GCM-128 and a key of zeros.
CRYPTO_INFO = struct.pack("=HH36x", 0x303, 51)
PR_SET_PDEATHSIG = 1
CLONE_FILES = 0x400
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
# Seconds; a daemon may be starting at the same time.
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
    """Opens a listener; `::` takes IPv4 too. Returns its id and its port."""
    sock = _new(address, None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(backlog)
    return {"id": _keep(sock), "port": sock.getsockname()[1]}


def listen_on(sock: int) -> None:
    """Makes an unconnected socket a listener, on a port that the kernel chooses."""
    _sockets[sock].listen(1024)


def disconnect(sock: int) -> None:
    """Disconnects a socket by connect(AF_UNSPEC)."""
    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    if _libc.connect(sock, nowhere, len(nowhere)) < 0:
        raise OSError(ctypes.get_errno(), "connect(AF_UNSPEC)")


def connect_again(sock: int, address: str, port: int) -> None:
    """Connects an unconnected socket."""
    _sockets[sock].settimeout(CONNECT_TIMEOUT)
    _sockets[sock].connect((address, port))
    _sockets[sock].settimeout(None)


def dump(sock: int) -> options.Settings:
    """Takes a connection away as CRIU does, without sending a packet. Returns its settings."""
    settings_ = settings(sock)
    _sockets[sock].setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    close(sock)
    return settings_


def restore(local: tuple[str, int], peer: tuple[str, int], values: dict[str, int]) -> int:
    """Restores a connection as CRIU does: by TCP_REPAIR, without sending a packet."""
    sock = _new(local[0], None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.bind(tuple(local))
    sock.connect(tuple(peer))
    options.write(sock, values)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP)
    return _keep(sock)


def connect(address: str, port: int, family: str | None, source: str | None,
            source_port: int, device: str | None, values: dict[str, int]) -> int:
    """Opens a connection; `values` are set before connect()."""
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


def connect_mptcp(address: str, port: int) -> int:
    """Opens a Multipath TCP connection, whose TCP subflows are sockets of the kernel's own."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    sock.settimeout(CONNECT_TIMEOUT)
    sock.connect((address, port))
    return _keep(sock)


def encrypt(sock: int) -> None:
    """Has the kernel do the socket's TLS from now on (kTLS)."""
    _sockets[sock].setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
    for way in (TLS_TX, TLS_RX):
        _sockets[sock].setsockopt(SOL_TLS, way, CRYPTO_INFO)


def connect_many(address: str, port: int, count: int, values: dict[str, int]) -> list[int]:
    """Opens `count` connections."""
    more_descriptors()
    return [connect(address, port, None, None, 0, None, values) for _ in range(count)]


def more_descriptors() -> None:
    """Raises the process's soft limit of descriptors to its hard limit."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def accept(sock: int) -> int:
    """Accepts the next connection of a listener."""
    _sockets[sock].settimeout(5)
    new, _ = _sockets[sock].accept()
    new.settimeout(None)
    return _keep(new)


def info(sock: int) -> dict[str, Any]:
    """Returns the socket's fd, inode, cookie, local and peer address."""
    s = _sockets[sock]
    return {
        "fd": s.fileno(),
        "inode": os.fstat(s.fileno()).st_ino,
        "cookie": struct.unpack("=Q", s.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0],
        "local": s.getsockname()[:2],
        "peer": s.getpeername()[:2],
    }


def local_port(sock: int) -> int:
    """Returns the port that a socket is bound to, connected or not."""
    return _sockets[sock].getsockname()[1]


def serve_all(sock: int) -> None:
    """Accepts every connection of a listener in the background from now on, and closes it."""
    def run() -> None:
        while True:
            _sockets[sock].accept()[0].close()

    threading.Thread(target=run, daemon=True).start()


def keep_all(sock: int, count: int) -> None:
    """Accepts `count` connections of a listener in the background, and keeps them open."""
    def run() -> None:
        for _ in range(count):
            _keep(_sockets[sock].accept()[0])

    more_descriptors()
    threading.Thread(target=run, daemon=True).start()


def settings_of(socks: list[int]) -> list[tuple[options.Settings, int]]:
    """Returns each kind of settings among some sockets, and how many sockets have it."""
    return list(Counter(options.read(_sockets[sock]) for sock in socks).items())


def settings(sock: int) -> options.Settings:
    """Returns the keepalive options in force."""
    return options.read(_sockets[sock])


def change(sock: int, values: dict[str, int]) -> None:
    """Sets options of an open connection."""
    options.write(_sockets[sock], values)


def change_raw(sock: int, option: str, value: str) -> None:
    """Sets an option to a value of any length, given in hexadecimal."""
    _sockets[sock].setsockopt(*options.NUMBERS[option], bytes.fromhex(value))


def send(sock: int, text: str) -> None:
    """Sends a text."""
    _sockets[sock].sendall(text.encode())


def receive(sock: int) -> str:
    """Returns what has arrived or arrives within 5 s; an empty text at the end of the stream."""
    _sockets[sock].settimeout(5)
    text = _sockets[sock].recv(65536).decode()
    _sockets[sock].settimeout(None)
    return text


def error(sock: int) -> int:
    """Returns and clears the pending error (SO_ERROR) of a socket."""
    return _sockets[sock].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def close(sock: int) -> None:
    """Closes a socket."""
    _sockets.pop(sock).close()


def fork() -> int:
    """Forks a child process that keeps all the sockets open and does nothing else."""
    pid = os.fork()
    if pid == 0:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        while True:
            signal.pause()
    return pid


def duplicate(sock: int, number: int) -> None:
    """Opens a second descriptor of a socket, with that number."""
    os.dup2(sock, number)


def to_a_thread(sock: int) -> None:
    """Leaves a socket open only in a thread that has a descriptor table of its own."""
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
    """Brings up `lo` in the process's network namespace."""
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


_parked: dict[str, Any] = {}


def leave() -> None:
    """Moves into a new network namespace; only open sockets keep the old one then."""
    netns.unshare_net()


def park(socks: list[int]) -> None:
    """Leaves the network namespace and hides it and the sockets where no process has them open.

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
    """Takes the sockets out of the queue again and enters their network namespace."""
    ends, count = _parked["ends"], _parked["count"]
    _, fds, _, _ = socket.recv_fds(ends[1], 1, count)
    netns.setns_net(fds[0])
    os.close(fds[0])
    return [_keep(socket.socket(fileno=fd)) for fd in fds[1:]]


class Churn:
    """Connects again and again, and notes which settings each connection has."""

    def __init__(self, address: str, port: int) -> None:
        self.target = (address, port)
        self.seen: dict[options.Settings, int] = {}
        self.fault: OSError | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        """Connects until told to stop, or until it fails."""
        try:
            while not self.stop.wait(0.001):
                self.once()
        except OSError as fault:
            self.fault = fault

    def once(self) -> None:
        """Opens one connection and resets it at the end, so that no port stays taken."""
        with socket.create_connection(self.target, timeout=5) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            first = options.read(sock)
            # Read until two readings agree: a change between two getsockopt() calls would look like
            # a mixture.
            while (second := options.read(sock)) != first:
                first = second
            self.seen[first] = self.seen.get(first, 0) + 1


_churns: list[Churn] = []


def churn_start(address: str, port: int) -> None:
    """Starts to connect to an address again and again in the background."""
    _churns.append(Churn(address, port))


def churn_stop() -> list[tuple[options.Settings, int]]:
    """Stops the connecting. Returns each kind of settings seen, and how often it was seen."""
    churn = _churns.pop()
    churn.stop.set()
    churn.thread.join()
    if churn.fault:
        raise churn.fault
    return list(churn.seen.items())


def main() -> None:
    """Serves the orders."""
    serve({order.__name__: order for order in (
        listen, listen_on, connect, connect_many, connect_mptcp, encrypt, disconnect,
        connect_again, dump, restore, accept, serve_all, keep_all, info, local_port, settings,
        settings_of, change, change_raw, send, receive, error, close, fork, duplicate,
        to_a_thread, rename, loopback_up, leave, park, unpark, churn_start, churn_stop)})


if __name__ == "__main__":
    main()
