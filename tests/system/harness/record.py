"""What socket storage remembers of a socket: struct hf_record of bpf/types.h, as tests want it."""

import ctypes
import os
import struct
from contextlib import contextmanager
from typing import Iterator

from . import bpf
from .daemon import Daemon
from .sockets import Socket

APP_TIME = 28  # app.time_s: the keepalive time that the application would have without us
_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def _grabbed(sock: Socket) -> Iterator[bytes]:
    """The key of a socket: a descriptor of it in this process."""
    process = os.pidfd_open(sock.agent.pid)
    fd = _libc.syscall(_PIDFD_GETFD, process, sock.info["fd"], 0)
    os.close(process)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    try:
        yield struct.pack("=i", fd)
    finally:
        os.close(fd)


def change(daemon: Daemon, sock: Socket, offset: int, value: int) -> None:
    """Writes 32 bits of it."""
    records = bpf.get(os.path.join(daemon.layout, "hf_sockets"))
    try:
        with _grabbed(sock) as key:
            record = bytearray(bpf.lookup(records, key, bpf.value_size(records)))
            struct.pack_into("=I", record, offset, value)
            bpf.update(records, key, bytes(record))
    finally:
        os.close(records)
