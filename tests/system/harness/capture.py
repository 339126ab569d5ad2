"""Captures TCP packets on a device and tells keepalive probes from other packets."""

import select
import socket
import struct
import time
from typing import NamedTuple

from .netns import Netns

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86dd
PACKET_OUTGOING = 4
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


class Packet(NamedTuple):
    """A TCP segment; `at` is on the clock of time.monotonic()."""

    at: float
    source: tuple[str, int]
    target: tuple[str, int]
    flags: int
    seq: int
    ack: int
    size: int


def _parse(at: float, protocol: int, data: bytes) -> Packet | None:
    if protocol == ETH_P_IP and data[9] == socket.IPPROTO_TCP:
        family, addresses, header = socket.AF_INET, data[12:20], (data[0] & 15) * 4
        end = struct.unpack_from("!H", data, 2)[0]
    elif protocol == ETH_P_IPV6 and data[6] == socket.IPPROTO_TCP:
        family, addresses, header = socket.AF_INET6, data[8:40], 40
        end = 40 + struct.unpack_from("!H", data, 4)[0]
    else:
        return None
    half = len(addresses) // 2
    sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", data, header)
    return Packet(at, (socket.inet_ntop(family, addresses[:half]), sport),
                  (socket.inet_ntop(family, addresses[half:]), dport),
                  flags, seq, ack, end - header - (offset >> 4) * 4)


class Capture:
    """Captures all TCP packets on a device from now on; on `lo`, each of them once."""

    def __init__(self, netns: Netns, device: str = "lo") -> None:
        with netns.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            self._socket.bind((device, ETH_P_ALL))
        self._outgoing_only = device == "lo"
        self._seen: list[Packet] = []

    def packets(self) -> list[Packet]:
        """Returns the packets seen so far."""
        realtime_lead = time.time() - time.monotonic()
        while select.select([self._socket], [], [], 0)[0]:
            data, ancillary, _, address = self._socket.recvmsg(256, 256)
            if self._outgoing_only and address[2] != PACKET_OUTGOING:
                continue
            seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
            at = seconds + nanoseconds / 1e9 - realtime_lead
            packet = _parse(at, address[1], data)
            if packet:
                self._seen.append(packet)
        return list(self._seen)

    def take(self) -> list[Packet]:
        """Returns the packets since the last time, and forgets them."""
        packets = self.packets()
        self._seen.clear()
        return packets

    def flow(self, local: tuple[str, int], peer: tuple[str, int]) -> list[Packet]:
        """Returns the packets of one connection, in both directions."""
        ends = (tuple(local), tuple(peer))
        return [p for p in self.packets() if (p.source, p.target) in (ends, ends[::-1])]

    def probes(self, local: tuple[str, int], peer: tuple[str, int]) -> list[float]:
        """Returns when `local` sent keepalive probes: empty segments whose number is one below the
        next.

        The next number follows from what either end has sent since the capture began. So the
        capture has to begin no later than with the last packet before the first probe.
        """
        found, following = [], None
        for packet in self.flow(local, peer):
            if packet.source != tuple(local):
                following = packet.ack
            elif packet.size == 0 and packet.flags == ACK and following == (
                    packet.seq + 1) & 0xffffffff:
                found.append(packet.at)
            else:
                taken = packet.size + bool(packet.flags & SYN) + bool(packet.flags & FIN)
                following = (packet.seq + taken) & 0xffffffff
        return found

    def resets(self, local: tuple[str, int], peer: tuple[str, int]) -> list[float]:
        """Returns when `local` reset the connection."""
        return [p.at for p in self.flow(local, peer)
                if p.source == tuple(local) and p.flags & RST]

    def close(self) -> None:
        """Stops the capture."""
        self._socket.close()
