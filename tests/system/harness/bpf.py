"""bpf(2) without any BPF library: what is attached, what maps hold, and tiny programs."""

import ctypes
import os
import platform
import socket
import struct
from contextlib import contextmanager, suppress
from typing import Iterator, NamedTuple, Sequence

SOCK_OPS, CONNECT4, SETSOCKOPT = 3, 10, 22  # enum bpf_attach_type
PROGRAM_TYPES = {SOCK_OPS: 13, CONNECT4: 18, SETSOCKOPT: 25}  # enum bpf_prog_type
F_OVERRIDE, F_MULTI = 1, 2  # BPF_F_ALLOW_*
_F_QUERY_EFFECTIVE = 1

_MAP_LOOKUP, _PROG_LOAD, _OBJ_PIN, _OBJ_GET, _PROG_ATTACH, _PROG_DETACH = 1, 5, 6, 7, 8, 9
_MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY, _MAP_UPDATE_BATCH = 2, 3, 4, 26
_LINK_DETACH = 34
_PROG_FD_BY_ID, _OBJ_INFO, _PROG_QUERY, _LINK_CREATE, _ENABLE_STATS = 13, 15, 16, 28, 32
_MAP_CREATE, _BTF_LOAD = 0, 18
_SK_STORAGE, _NO_PREALLOC = 24, 1  # enum bpf_map_type, BPF_F_NO_PREALLOC
_NUMBER = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_libc = ctypes.CDLL(None, use_errno=True)

# mov r0, N; exit
RETURN_0, _RETURN_1 = (struct.pack("<BBhiBBhi", 0xb7, 0, 0, n, 0x95, 0, 0, 0) for n in (0, 1))


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = _libc.syscall(_NUMBER[platform.machine()], command, buffer, 128)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bpf({command}): {os.strerror(number)}")
    return result, buffer.raw


def _address(buffer: ctypes.Array) -> int:
    return ctypes.addressof(buffer)


def socket_storage(name: str) -> int:
    """Creates a socket storage map with four bytes for each socket; its keys are descriptors."""
    # The kernel requires BTF for such a map: this one has a single type, "int".
    names = b"\0int\0"
    types = struct.pack("=IIII", 1, 1 << 24, 4, 1 << 24 | 32)
    raw = struct.pack("=HBBIIIII", 0xeb9f, 1, 0, 24, 0, len(types), len(types), len(names))
    text = ctypes.create_string_buffer(raw + types + names)
    btf = _bpf(_BTF_LOAD, struct.pack("=QQIII", _address(text), 0, len(raw + types + names), 0,
                                      0))[0]
    try:
        return _bpf(_MAP_CREATE, struct.pack(
            "=IIIIIII16sIIII", _SK_STORAGE, 4, 4, 0, _NO_PREALLOC, 0, 0, name.encode(), 0, btf, 1,
            1))[0]
    finally:
        os.close(btf)


def get(path: str) -> int:
    """Opens a pinned object and returns its descriptor."""
    name = ctypes.create_string_buffer(path.encode())
    return _bpf(_OBJ_GET, struct.pack("=QII", _address(name), 0, 0))[0]


def possible_cpus() -> int:
    """Returns how many values a per-CPU map has for each key."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return int(file.read().strip().split(",")[-1].split("-")[-1]) + 1


def lookup(map_fd: int, key: bytes, size: int) -> bytes:
    """Returns a map's value for a key; OSError where the map doesn't have the key."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(size)
    _bpf(_MAP_LOOKUP,
         struct.pack("=IIQQQ", map_fd, 0, _address(key_buffer), _address(value), 0))
    return value.raw


def update(map_fd: int, key: bytes, value: bytes) -> None:
    """Puts a value into a map."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    buffer = ctypes.create_string_buffer(value, len(value))
    _bpf(_MAP_UPDATE,
         struct.pack("=IIQQQ", map_fd, 0, _address(key_buffer), _address(buffer), 0))


def delete(map_fd: int, key: bytes) -> None:
    """Deletes a key from a map; OSError where the map doesn't have the key."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    _bpf(_MAP_DELETE, struct.pack("=IIQQQ", map_fd, 0, _address(key_buffer), 0, 0))


def update_many(map_fd: int, keys_: Sequence[bytes], value: bytes) -> None:
    """Puts the same value into a map under each of these keys, in one batch."""
    key_buffer = ctypes.create_string_buffer(b"".join(keys_))
    buffer = ctypes.create_string_buffer(value * len(keys_))
    _bpf(_MAP_UPDATE_BATCH, struct.pack("=QQQQIIQQ", 0, 0, _address(key_buffer), _address(buffer),
                                        len(keys_), map_fd, 0, 0))


def keys(map_fd: int, size: int) -> list[bytes]:
    """Returns all keys of a map."""
    found: list[bytes] = []
    following = ctypes.create_string_buffer(size)
    while True:
        last = ctypes.create_string_buffer(found[-1], size) if found else None
        try:
            _bpf(_MAP_NEXT_KEY, struct.pack("=IIQQ", map_fd, 0, _address(last) if last else 0,
                                            _address(following)))
        except FileNotFoundError:
            return found
        found.append(following.raw)


def _info(fd: int) -> bytes:
    info = ctypes.create_string_buffer(256)
    _bpf(_OBJ_INFO, struct.pack("=IIQ", fd, 256, _address(info)))
    return info.raw


class Link(NamedTuple):
    """A link to a cgroup, as the kernel knows it."""

    id: int
    program: int
    cgroup: int


def pinned_link(path: str) -> Link:
    """Returns what the kernel says of a pinned link."""
    fd = get(path)
    try:
        _, number, program, _, cgroup = struct.unpack_from("=IIIIQ", _info(fd))
    finally:
        os.close(fd)
    return Link(number, program, cgroup)


def detach(path: str) -> None:
    """Detaches a pinned link by force, as `bpftool link detach` does."""
    fd = get(path)
    try:
        _bpf(_LINK_DETACH, struct.pack("=I", fd))
    finally:
        os.close(fd)


def attached(directory: str, kind: int, flags: int = 0) -> list[int]:
    """Returns the ids of the programs that are attached to a cgroup, in order."""
    ids = (ctypes.c_uint32 * 64)()
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        attributes = struct.pack("=IIIIQI", fd, kind, flags, 0, _address(ids), 64)
        count = struct.unpack_from("=I", _bpf(_PROG_QUERY, attributes)[1], 24)[0]
    finally:
        os.close(fd)
    return list(ids[:count])


def effective(directory: str, kind: int) -> list[int]:
    """Returns the ids of the programs that run for a cgroup, those attached to its ancestors
    included."""
    return attached(directory, kind, _F_QUERY_EFFECTIVE)


def program_exists(number: int) -> bool:
    """Whether the kernel still has the program with this id."""
    try:
        os.close(_bpf(_PROG_FD_BY_ID, struct.pack("=II", number, 0))[0])
    except FileNotFoundError:
        return False
    return True


_FD_BY_ID = {"prog": 13, "map": 14, "link": 30}


def identities(fd: int) -> set[tuple[str, int]]:
    """Returns the kind and id of a descriptor's object: ("map", 7), or ("link", 3) and ("prog",
    12)."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {(kind, int(fields[f"{kind}_id"])) for kind in _FD_BY_ID if f"{kind}_id" in fields}


def pinned(directory: str) -> set[tuple[str, int]]:
    """Returns kind and id of all objects pinned below a folder, and of the rules' inner map."""
    found = set()
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                fd = get(os.path.join(folder, name))
            except FileNotFoundError:  # replaced in the meantime
                continue
            found |= identities(fd)
            if name == "hf_rules":
                with suppress(FileNotFoundError):  # no rules are in force
                    found.add(("map", struct.unpack("=I", lookup(fd, bytes(4), 4))[0]))
            os.close(fd)
    return found


def inner_maps(directory: str) -> list[int]:
    """Returns the ids of the inner maps of each hf_rules that is pinned below a folder."""
    found = []
    for folder, _, names in os.walk(directory):
        if "hf_rules" in names:
            fd = get(os.path.join(folder, "hf_rules"))
            found.append(struct.unpack("=I", lookup(fd, bytes(4), 4))[0])
            os.close(fd)
    return found


def by_id(kind: str, number: int) -> int:
    """Opens a map, program or link by its id."""
    return _bpf(_FD_BY_ID[kind], struct.pack("=II", number, 0))[0]


def _info_by_id(kind: str, number: int) -> bytes:
    fd = by_id(kind, number)
    try:
        return _info(fd)
    finally:
        os.close(fd)


def value_size(map_fd: int) -> int:
    """Returns the size of a map's values in bytes."""
    return struct.unpack_from("=IIII", _info(map_fd))[3]


def max_entries(number: int) -> int:
    """Returns the maximum number of entries of the map with this id."""
    return struct.unpack_from("=IIIII", _info_by_id("map", number))[4]


def verified_instructions(number: int) -> int:
    """Returns how many instructions the verifier walked for a program; -1 where the kernel doesn't
    say."""
    info = _info_by_id("prog", number)
    # struct bpf_prog_info.verified_insns, since Linux 5.16.
    return struct.unpack_from("=I", info, 216)[0] or -1


@contextmanager
def statistics() -> Iterator[None]:
    """Has the kernel count the runs of programs for the length of the `with` block."""
    fd = _bpf(_ENABLE_STATS, struct.pack("=I", 0))[0]
    try:
        yield
    finally:
        os.close(fd)


def runs(pin: str) -> int:
    """Returns how often the program of a pinned link has run while runs were counted."""
    # struct bpf_prog_info.run_cnt
    return struct.unpack_from("=Q", _info_by_id("prog", pinned_link(pin).program), 200)[0]


def exists(kind: str, number: int) -> bool:
    """Whether the kernel still has the map, program or link with this id."""
    try:
        os.close(_bpf(_FD_BY_ID[kind], struct.pack("=II", number, 0))[0])
    except FileNotFoundError:
        return False
    return True


def _instruction(code: int, registers: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, registers, offset, immediate)


# A sockops program that clears all callback flags of each new connection, as a program that knows
# of no other may: bpf_sock_ops_cb_flags_set(ops, 0) at BPF_SOCK_OPS_*_ESTABLISHED_CB.
FORGETS_FLAGS = b"".join((
    _instruction(0x61, 0x12),  # r2 = *(u32 *)(r1 + 0): the op
    _instruction(0x15, 0x02, 1, 4),  # if r2 == 4 goto +1
    _instruction(0x55, 0x02, 2, 5),  # if r2 != 5 goto +2
    _instruction(0xb7, 0x02),  # r2 = 0
    _instruction(0x85, 0, 0, 59),  # call bpf_sock_ops_cb_flags_set
    _instruction(0xb7, 0x00, 0, 1),  # r0 = 1
    _instruction(0x95),  # exit
))


def to_port(port: int) -> bytes:
    """Returns a CONNECT4 program that redirects each connection to that port, as load balancers in
    connect() do."""
    return b"".join((
        _instruction(0xb7, 0x02, 0, socket.htons(port)),  # r2 = port
        _instruction(0x63, 0x21, 24),  # *(u32 *)(r1 + 24) = r2: user_port
        _instruction(0xb7, 0x00, 0, 1),  # r0 = 1
        _instruction(0x95),  # exit
    ))


class Program:
    """A program that stands for somebody else's; by default it only returns 1."""

    def __init__(self, kind: int, name: str, instructions: bytes = b"") -> None:
        self.kind = kind
        self.name = name
        instructions = instructions or _RETURN_1
        code = ctypes.create_string_buffer(instructions, len(instructions))
        license_ = ctypes.create_string_buffer(b"GPL")
        self.fd = _bpf(_PROG_LOAD, struct.pack(
            "=IIQQIIQII16sII", PROGRAM_TYPES[kind], len(instructions) // 8, _address(code),
            _address(license_), 0, 0, 0, 0, 0, name.encode(), 0, kind))[0]
        self.id = struct.unpack_from("=II", _info(self.fd))[1]
        self._links: list[int] = []

    def attach(self, directory: str, flags: int) -> None:
        """Attaches it by BPF_PROG_ATTACH; flags 0 (exclusive), F_OVERRIDE or F_MULTI."""
        self._each(_PROG_ATTACH, directory, flags)

    def pin(self, path: str) -> None:
        """Pins it on a bpffs."""
        name = ctypes.create_string_buffer(path.encode())
        _bpf(_OBJ_PIN, struct.pack("=QII", _address(name), self.fd, 0))

    def detach(self, directory: str) -> None:
        """Undoes attach()."""
        self._each(_PROG_DETACH, directory, 0)

    def link(self, directory: str) -> None:
        """Attaches it by a link, which lives until close()."""
        cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._links.append(_bpf(_LINK_CREATE,
                                    struct.pack("=IIII", self.fd, cgroup, self.kind, 0))[0])
        finally:
            os.close(cgroup)

    def _each(self, command: int, directory: str, flags: int) -> None:
        cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _bpf(command, struct.pack("=IIII", cgroup, self.fd, self.kind, flags))
        finally:
            os.close(cgroup)

    def close(self) -> None:
        """Closes the program and its links."""
        for fd in (*self._links, self.fd):
            os.close(fd)
