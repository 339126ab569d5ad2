"""Watches for entries that a firewall's connection tracking removes (ctnetlink)."""

import socket
import struct
import time
from typing import Iterator, NamedTuple

from harness.netns import Netns

NETLINK_NETFILTER = 12
GROUP_DESTROY = 3
DELETE = 1 << 8 | 2  # subsystem conntrack, message delete
TYPE_MASK = 0x3fff   # masks the flags for nested attributes and byte order
# Attributes of a message, of a tuple, of its addresses and of its protocol.
TUPLE_ORIG = 1
TUPLE_IP, TUPLE_PROTO = 1, 2
IPV4_SRC = 1
SRC_PORT = 2


class Gone(NamedTuple):
    """A removed entry, by the address that opened the connection; `at` is that of
    time.monotonic()."""

    at: float
    source: tuple[str, int]


def _align(length: int) -> int:
    return (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    """Returns attributes by type."""
    found, offset = {}, 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        found[kind & TYPE_MASK] = data[offset + 4:offset + length]
        offset += _align(max(length, 4))
    return found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields type and attributes of each message, without its two headers."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        yield kind, data[offset + 20:offset + length]
        offset += _align(max(length, 16))


class Watch:
    """Watches the connection tracking of a namespace for removed entries from now on."""

    def __init__(self, netns: Netns) -> None:
        with netns.entered():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._socket.bind((0, 1 << GROUP_DESTROY - 1))

    def fileno(self) -> int:
        """The descriptor for select()."""
        return self._socket.fileno()

    def read(self) -> list[Gone]:
        """Waits for the next removed entries and returns them."""
        data, at, found = self._socket.recv(65536), time.monotonic(), []
        for kind, attributes in _messages(data):
            if kind == DELETE:
                original = _attributes(_attributes(attributes)[TUPLE_ORIG])
                protocol = _attributes(original[TUPLE_PROTO])
                address = _attributes(original[TUPLE_IP]).get(IPV4_SRC)
                if address and SRC_PORT in protocol:
                    port = struct.unpack("!H", protocol[SRC_PORT])[0]
                    found.append(Gone(at, (socket.inet_ntoa(address), port)))
        return found
