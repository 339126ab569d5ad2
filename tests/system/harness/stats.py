"""Changes what the daemon has counted in its pinned map: struct daemon_stats of
daemon/sockets/daemon_stats.h."""

import os
import struct

from . import bpf
from .pins import layout

_ZERO = struct.pack("=I", 0)
# Its last field, passed_ms: CLOCK_MONOTONIC at the end of the latest full pass.
_PASSED_MS = struct.Struct("=Q")


def passed_ms(pin_dir: str) -> int:
    """Returns when the latest full pass has ended, CLOCK_MONOTONIC in milliseconds."""
    fd = bpf.get(os.path.join(layout(pin_dir), "hf_daemon"))
    try:
        stats = bpf.lookup(fd, _ZERO, bpf.value_size(fd))
        return int(_PASSED_MS.unpack_from(stats, len(stats) - _PASSED_MS.size)[0])
    finally:
        os.close(fd)


def age(pin_dir: str, seconds: int) -> None:
    """Moves the end of the latest full pass so many seconds into the past."""
    fd = bpf.get(os.path.join(layout(pin_dir), "hf_daemon"))
    try:
        stats = bytearray(bpf.lookup(fd, _ZERO, bpf.value_size(fd)))
        at = len(stats) - _PASSED_MS.size
        (passed,) = _PASSED_MS.unpack_from(stats, at)
        _PASSED_MS.pack_into(stats, at, passed - seconds * 1000)
        bpf.update(fd, _ZERO, bytes(stats))
    finally:
        os.close(fd)
