"""Changes what socket storage has of a socket: struct hf_record of bpf/types.h."""

import ctypes
import os
import struct
from contextlib import contextmanager
from typing import Iterator

from . import bpf
from .daemon import Daemon
from .pins import layout
from .sockets import Socket

APP_TIME = 28  # app.time_s: the keepalive time that the application would have without holdfast
GENERATION = 84  # generation: of the rules that decided last
_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def grabbed(sock: Socket) -> Iterator[int]:
    """Yields a descriptor of the socket in this process."""
    process = os.pidfd_open(sock.agent.pid)
    fd = _libc.syscall(_PIDFD_GETFD, process, sock.info["fd"], 0)
    os.close(process)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    try:
        yield fd
    finally:
        os.close(fd)


def change(daemon: Daemon, sock: Socket, offset: int, value: int) -> None:
    """Writes 32 bits at an offset of the socket's record."""
    change_in(daemon.pin_dir, sock, offset, value)


def change_in(pin_dir: str, sock: Socket, offset: int, value: int) -> None:
    """Writes 32 bits at an offset of the socket's record, which is pinned in a pin dir."""
    records = bpf.get(os.path.join(layout(pin_dir), "hf_sockets"))
    try:
        with grabbed(sock) as fd:
            key = struct.pack("=i", fd)
            record = bytearray(bpf.lookup(records, key, bpf.value_size(records)))
            struct.pack_into("=I", record, offset, value)
            bpf.update(records, key, bytes(record))
    finally:
        os.close(records)
