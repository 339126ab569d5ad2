"""bpf(2) as far as measuring needs it: programs without the daemon, attached and detached."""

import ctypes
import os
import platform
import struct
from contextlib import contextmanager
from typing import Iterator, NamedTuple

from harness import bpf

_UPDATE, _RAW_TRACEPOINT_OPEN, _ENABLE_STATS = 2, 17, 32
_PROG_FD_BY_ID, _MAP_FD_BY_ID, _INFO, _LINK_CREATE = 13, 14, 15, 28
_NUMBER = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = _libc.syscall(_NUMBER[platform.machine()], command, buffer, 128)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bpf({command}): {os.strerror(number)}")
    return result


def _info(fd: int) -> bytes:
    info = ctypes.create_string_buffer(256)
    _bpf(_INFO, struct.pack("=IIQ", fd, 256, ctypes.addressof(info)))
    return info.raw


class Program(NamedTuple):
    """A loaded program with the kernel's counts."""

    name: str
    instructions: int  # after the verifier has rewritten it
    jited_bytes: int
    verified: int  # instructions that the verifier walked
    run_ns: int
    runs: int


def program_of(pin: str) -> int:
    """Returns a descriptor of a pinned link's program."""
    fd = bpf.get(pin)
    try:
        return _bpf(_PROG_FD_BY_ID, struct.pack("=I", struct.unpack_from("=III", _info(fd))[2]))
    finally:
        os.close(fd)


def program(fd: int) -> Program:
    """Returns what the kernel says of a program."""
    info = _info(fd)
    jited, translated = struct.unpack_from("=II", info, 16)
    run_ns, runs, _, verified = struct.unpack_from("=QQQI", info, 192)
    return Program(info[64:80].split(b"\0")[0].decode(), translated // 8, jited, verified,
                   run_ns, runs)


@contextmanager
def counting() -> Iterator[None]:
    """Has the kernel measure all programs that run, for the length of the `with` block."""
    fd = _bpf(_ENABLE_STATS, struct.pack("=I", 0))
    try:
        yield
    finally:
        os.close(fd)


def attach_cgroup(program_fd: int, directory: str, kind: int) -> int:
    """Attaches a program to a cgroup. Returns the link, which lives as long as its descriptor."""
    cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _bpf(_LINK_CREATE, struct.pack("=IIII", program_fd, cgroup, kind, 0))
    finally:
        os.close(cgroup)


def attach_tracepoint(program_fd: int) -> int:
    """Attaches a program to the tracepoint that its BTF names. Returns the link."""
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", 0, program_fd))


def inner_map(outer_fd: int) -> int:
    """Returns a descriptor of the map in slot 0 of an array of maps."""
    number = struct.unpack("=I", bpf.lookup(outer_fd, bytes(4), 4))[0]
    return _bpf(_MAP_FD_BY_ID, struct.pack("=I", number))


def put_inner_map(outer_fd: int, inner_fd: int) -> None:
    """Puts another map into slot 0 of an array of maps."""
    key = ctypes.create_string_buffer(4)
    value = ctypes.create_string_buffer(struct.pack("=I", inner_fd), 4)
    _bpf(_UPDATE, struct.pack("=IIQQQ", outer_fd, 0, ctypes.addressof(key),
                              ctypes.addressof(value), 0))
