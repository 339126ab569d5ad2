"""Reads the sockets of programs that take no orders, by borrowing their descriptors
(pidfd_getfd)."""

import ctypes
import os
import socket

from . import options

_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def connections(pid: int, port: int) -> list[options.Settings]:
    """Returns the settings of a process's connections to that port."""
    found = []
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    continue
            except FileNotFoundError:
                continue
            fd = _libc.syscall(_PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                continue
            with socket.socket(fileno=fd) as sock:
                if sock.family in (socket.AF_INET, socket.AF_INET6) and _peer_port(sock) == port:
                    found.append(options.read(sock))
    finally:
        os.close(pidfd)
    return found


def borrow(pid: int, fd: int) -> socket.socket:
    """Returns the socket that a process has open as `fd`."""
    pidfd = os.pidfd_open(pid)
    try:
        ours = _libc.syscall(_PIDFD_GETFD, pidfd, fd, 0)
        if ours < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"pidfd_getfd: {os.strerror(number)}")
        return socket.socket(fileno=ours)
    finally:
        os.close(pidfd)


def _peer_port(sock: socket.socket) -> int | None:
    try:
        return sock.getpeername()[1]
    except OSError:
        return None
