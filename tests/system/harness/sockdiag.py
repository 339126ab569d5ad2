"""Reads the TCP sockets of a network namespace through sock_diag(7)."""

import os
import socket
import struct
from typing import NamedTuple

from .netns import Netns

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
INET_DIAG_INFO = 2
TIMER_KEEPALIVE = 2
SYN_SENT, CLOSE_WAIT = 2, 8

_HEADER = struct.Struct("=IHHII")
_SOCKID = struct.Struct("!HH16s16s4s8s")
_MESSAGE = struct.Struct("=BBBB48sIIIII")


class Diag(NamedTuple):
    """One socket; `expires` and `retrans` are the keepalive timer's where `timer` is
    TIMER_KEEPALIVE."""

    state: int
    local: str
    local_port: int
    peer: str
    peer_port: int
    cookie: int
    inode: int
    timer: int
    expires: float
    retrans: int
    unanswered: int
    last_data_received: float
    last_ack_received: float

    @property
    def idle(self) -> float:
        """Seconds since something last came from the peer, from which keepalive counts."""
        return min(self.last_data_received, self.last_ack_received)


def _address(family: int, raw: bytes) -> str:
    return socket.inet_ntop(family, raw[:4] if family == socket.AF_INET else raw)


def _tcp_info(attributes: bytes) -> bytes:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        if kind == INET_DIAG_INFO:
            return attributes[4:length]
        attributes = attributes[(length + 3) & ~3:]
    return bytes(104)


def _parse(body: bytes) -> Diag:
    family, state, timer, retrans, raw_id, expires, _, _, _, inode = _MESSAGE.unpack_from(body)
    local_port, peer_port, local, peer, _, cookie = _SOCKID.unpack(raw_id)
    info = _tcp_info(body[_MESSAGE.size:])
    # struct tcp_info of <linux/tcp.h>: tcpi_probes is a byte, the tcpi_last_* are milliseconds.
    last_data_received, last_ack_received = struct.unpack_from("=II", info, 52)
    return Diag(state, _address(family, local), local_port, _address(family, peer), peer_port,
                struct.unpack("=Q", cookie)[0], inode, timer, expires / 1000, retrans, info[3],
                last_data_received / 1000, last_ack_received / 1000)


def _dump(sock: socket.socket, family: int) -> list[Diag]:
    request = struct.pack("=BBBBI48s", family, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0,
                          0xffffffff, bytes(48))
    sock.send(_HEADER.pack(_HEADER.size + len(request), SOCK_DIAG_BY_FAMILY,
                           NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + request)
    found = []
    while True:
        data = sock.recv(1 << 20)
        while data:
            length, kind = _HEADER.unpack_from(data)[:2]
            body = data[_HEADER.size:length]
            if kind == NLMSG_DONE:
                return found
            if kind == NLMSG_ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, f"sock_diag: {os.strerror(number)}")
            found.append(_parse(body))
            data = data[(length + 3) & ~3:]


def dump(netns: Netns) -> list[Diag]:
    """Returns all TCP sockets of a namespace."""
    with netns.entered():
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    with sock:
        return _dump(sock, socket.AF_INET) + _dump(sock, socket.AF_INET6)


def find(netns: Netns, cookie: int) -> Diag | None:
    """Returns the socket with this cookie (SO_COOKIE), or None."""
    return next((d for d in dump(netns) if d.cookie == cookie), None)
